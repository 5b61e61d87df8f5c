#include <cstddef>
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
  for (size_t i = 0; i < listeners.size(); ++i) {
    if (listeners[i].get() != &listener) continue;
    const uint32_t route = matchers[i].second->Match(HeadView(request));
    if (route == routing::Matcher::kNone) return nullptr;
    const RouteEntry* entry = &routes[route];
    // Among very many it comes from memory. On its way there is other work to do.
    __builtin_prefetch(entry);
    return entry;
  }
  return nullptr;
}

}  // namespace portico::snapshot
