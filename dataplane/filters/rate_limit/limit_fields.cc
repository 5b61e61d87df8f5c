#include "dataplane/filters/rate_limit/limit_fields.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <string_view>

namespace portico::filters {
namespace {

constexpr std::string_view kSeparator = ", ";
constexpr std::string_view kRestStart = ";t=";
// Two numbers of 20 digits and what stands between.
constexpr size_t kMostBytes = 48;

char* Append(char* out, std::string_view text) {
  std::memcpy(out, text.data(), text.size());
  return out + text.size();
}

char* Append(char* out, int64_t number) { return std::to_chars(out, out + 20, number).ptr; }

std::string_view PolicyField(base::Arena& arena, const LimitRate* const* rates, size_t count) {
  if (count == 1) return rates[0]->announced;
  size_t size = 0;
  for (size_t i = 0; i < count; ++i) size += rates[i]->announced.size() + kSeparator.size();
  char* const text = static_cast<char*>(arena.Allocate(size, 1));
  char* next = text;
  for (size_t i = 0; i < count; ++i) {
    if (i > 0) next = Append(next, kSeparator);
    next = Append(next, rates[i]->announced);
  }
  return {text, static_cast<size_t>(next - text)};
}

std::string_view StateField(base::Arena& arena,
                            const std::vector<std::shared_ptr<const Limit>>& limits,
                            const GcraDecision* decisions, size_t count) {
  size_t most = 0;
  for (size_t i = 0; i < count; ++i) most += limits[i]->state_start.size() + kMostBytes;
  char* const text = static_cast<char*>(arena.Allocate(most, 1));
  char* next = text;
  for (size_t i = 0; i < count; ++i) {
    if (i > 0) next = Append(next, kSeparator);
    next = Append(next, limits[i]->state_start);
    next = Append(next, std::max<int64_t>(0, decisions[i].remaining));
    next = Append(next, kRestStart);
    next = Append(next, CeilSeconds(decisions[i].rest_in));
  }
  return {text, static_cast<size_t>(next - text)};
}

}  // namespace

void ReturnToDecision(GcraDecision& decision, const GcraRate& rate) {
  decision.rest_in = std::max<int64_t>(0, decision.rest_in - rate.interval);
  ++decision.remaining;
}

void AddLimitFields(snapshot::PolicyContext& context, const std::vector<std::shared_ptr<const Limit>>& limits,
                    const LimitRate* const* rates, const GcraDecision* decisions, size_t count) {
  context.response_headers.Set(http::HeaderId::kRateLimitPolicy,
                               PolicyField(context.arena, rates, count));
  context.response_headers.Set(http::HeaderId::kRateLimit,
                               StateField(context.arena, limits, decisions, count));
}

}  // namespace portico::filters
