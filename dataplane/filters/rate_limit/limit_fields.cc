#include "dataplane/filters/rate_limit/limit_fields.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <string_view>

namespace portico::filters {
namespace {

// Three numbers of 20 digits and the punctuation between.
constexpr size_t kMostBytes = 64;

class Writer {
 public:
  Writer(base::Arena& arena, size_t most) : start_(arena.NewArray<char>(most)), next_(start_), end_(start_ + most) {}
  void Text(std::string_view text) {
    std::memcpy(next_, text.data(), text.size());
    next_ += text.size();
  }
  void Number(uint64_t value) { next_ = std::to_chars(next_, end_, value).ptr; }
  std::string_view view() const { return {start_, static_cast<size_t>(next_ - start_)}; }

 private:
  char* const start_;
  char* next_;
  char* const end_;
};

}  // namespace

void ReturnToDecision(GcraDecision& decision, const GcraRate& rate) {
  decision.rest_in = std::max<int64_t>(0, decision.rest_in - rate.interval);
  ++decision.remaining;
}

void AddLimitFields(snapshot::PolicyContext& context, const std::vector<std::shared_ptr<const Limit>>& limits,
                    const LimitRate* const* rates, const GcraDecision* decisions, size_t count) {
  size_t most = 0;
  for (size_t i = 0; i < count; ++i) most += limits[i]->name.size() + kMostBytes;
  Writer policy(context.arena, most), state(context.arena, most);
  for (size_t i = 0; i < count; ++i) {
    const std::string_view start = i == 0 ? "\"" : ", \"";
    policy.Text(start);
    policy.Text(limits[i]->name);
    policy.Text("\";q=");
    policy.Number(rates[i]->quota);
    policy.Text(";w=");
    policy.Number(rates[i]->window_seconds);
    state.Text(start);
    state.Text(limits[i]->name);
    state.Text("\";r=");
    state.Number(static_cast<uint64_t>(std::max<int64_t>(0, decisions[i].remaining)));
    state.Text(";t=");
    state.Number(static_cast<uint64_t>(CeilSeconds(decisions[i].rest_in)));
  }
  context.response_headers.Set(http::HeaderId::kRateLimitPolicy, policy.view());
  context.response_headers.Set(http::HeaderId::kRateLimit, state.view());
}

}  // namespace portico::filters
