#include <string_view>

#include "dataplane/snapshot/snapshot.h"

namespace portico::snapshot {
namespace {

class HeadView final : public routing::RequestView {
 public:
  explicit HeadView(const http::RequestHead& head) : head_(head) {}
  std::string_view host() const override { return head_.host; }
  std::string_view path() const override { return head_.path; }
  std::string_view query() const override { return head_.query; }
  std::string_view method() const override { return head_.method_text; }
  std::string_view header(std::string_view lower_name) const override {
    const http::HeaderField* field = head_.headers.Find(lower_name);
    if (field == nullptr) return {};
    return field->value.data() == nullptr ? std::string_view("") : field->value;
  }

 private:
  const http::RequestHead& head_;
};

}  // namespace

const RouteEntry* Snapshot::Match(const ListenerEntry& listener, const http::RequestHead& request) const {
  for (const auto& [name, matcher] : matchers) {
    if (name != listener.name) continue;
    const uint32_t route = matcher->Match(HeadView(request));
    return route == routing::Matcher::kNone ? nullptr : routes[route].get();
  }
  return nullptr;
}

}  // namespace portico::snapshot
