#include "dataplane/filters/rate_limit/rate_limit_policy.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "dataplane/filters/rate_limit/limit_fields.h"
#include "dataplane/filters/text.h"
#include "dataplane/snapshot/snapshot.h"

namespace portico::filters {
namespace {

// What a key consists of, in a fixed number of bytes: longer values are hashed.
class KeyText {
 public:
  void AddByte(char byte) { text_[size_++] = byte; }
  template <typename T>
  void Add(const T& value) {
    std::memcpy(text_.data() + size_, &value, sizeof(value));
    size_ += sizeof(value);
  }
  std::string_view view() const { return {text_.data(), size_}; }

 private:
  std::array<char, sizeof(CellKey) + Limit::kMaxParts * (1 + sizeof(CellKey))> text_;
  size_t size_ = 0;
};

void AddAddress(KeyText& text, const net::IpAddress& address) {
  // One customer has at least a /64, so all of it is one client.
  std::array<uint8_t, 16> bytes = address.bytes();
  if (address.is_v6()) std::fill(bytes.begin() + 8, bytes.end(), 0);
  text.AddByte(address.is_v6() ? '6' : '4');
  text.Add(bytes);
}

std::string_view HeaderValue(const snapshot::PolicyContext& context, std::string_view name) {
  const http::HeaderField* field = context.request.headers.Find(name);
  return field == nullptr ? std::string_view() : field->value;
}

}  // namespace

const LimitRate& Limit::RateFor(std::string_view plan) const {
  if (plan.empty() || plans.empty()) return rate;
  const auto found = std::lower_bound(plans.begin(), plans.end(), plan,
                                      [](const auto& entry, std::string_view name) { return entry.first < name; });
  return found != plans.end() && found->first == plan ? found->second : rate;
}

RateLimitPolicy::RateLimitPolicy(std::vector<std::shared_ptr<const Limit>> limits, std::shared_ptr<CellTable> table)
    : limits_(std::move(limits)), table_(std::move(table)) {
  for (const std::shared_ptr<const Limit>& limit : limits_) names_.push_back(table_->HashOf(limit->name));
}

CellKey RateLimitPolicy::KeyOf(size_t place, const snapshot::PolicyContext& context) const {
  const Limit& limit = *limits_[place];
  KeyText text;
  const auto add_text = [&](char kind, std::string_view value) {
    text.AddByte(kind);
    text.Add(table_->HashOf(value));
  };
  text.Add(names_[place]);
  for (const Limit::KeyPart& part : limit.key) {
    switch (part.part) {
      case Limit::Part::kClientAddress:
        AddAddress(text, context.client);
        break;
      case Limit::Part::kConsumer:
        if (context.identity.consumer.empty()) {
          AddAddress(text, context.client);
        } else {
          add_text('c', context.identity.consumer);
        }
        break;
      case Limit::Part::kRoute:
        add_text('r', context.route.name());
        break;
      case Limit::Part::kHeader:
        add_text('h', HeaderValue(context, part.name));
        break;
      case Limit::Part::kClaim:
        add_text('l', context.identity.claims == nullptr
                          ? std::string_view()
                          : context.identity.claims->Find(part.name).value_or(std::string_view()));
        break;
    }
  }
  return table_->HashOf(text.view());
}

std::optional<snapshot::LocalReply> RateLimitPolicy::OnRequest(snapshot::PolicyContext& context) const {
  std::array<CellKey, kMaxLimits> keys;
  std::array<const LimitRate*, kMaxLimits> rates{};
  std::array<GcraDecision, kMaxLimits> decisions;
  const size_t count = std::min(limits_.size(), kMaxLimits);
  // Which one refuses; the one to wait for longest.
  size_t refused = count;
  for (size_t i = 0; i < count; ++i) {
    keys[i] = KeyOf(i, context);
    rates[i] = &limits_[i]->RateFor(context.identity.plan);
    decisions[i] = table_->Peek(keys[i], rates[i]->gcra, limits_[i]->ceiling, context.now);
    if (!decisions[i].admitted &&
        (refused == count || decisions[i].retry_after > decisions[refused].retry_after)) {
      refused = i;
    }
  }
  if (refused != count) {
    // Nothing is taken from the others, so they have one more than Peek() said.
    for (size_t i = 0; i < count; ++i) {
      if (decisions[i].admitted) ReturnToDecision(decisions[i], rates[i]->gcra);
    }
  }
  for (size_t i = 0; refused == count && i < count; ++i) {
    decisions[i] = table_->Take(keys[i], rates[i]->gcra, limits_[i]->ceiling, context.now);
    if (decisions[i].admitted) continue;
    // Somebody else was faster since Peek().
    refused = i;
    for (size_t taken = 0; taken < i; ++taken) {
      table_->Return(keys[taken], rates[taken]->gcra);
      ReturnToDecision(decisions[taken], rates[taken]->gcra);
    }
    for (size_t later = i + 1; later < count; ++later) ReturnToDecision(decisions[later], rates[later]->gcra);
  }
  AddLimitFields(context, limits_, rates.data(), decisions.data(), count);
  if (refused == count) return std::nullopt;
  const std::string_view seconds = Decimal(context.arena, std::max<int64_t>(1, CeilSeconds(decisions[refused].retry_after)));
  context.response_headers.Set(http::HeaderId::kRetryAfter, seconds);
  return snapshot::LocalReply{
      429, "rate_limited",
      context.arena.Concat({"the limit of ", limits_[refused]->name, " is used up; try again in ", seconds, " s"})};
}

}  // namespace portico::filters
