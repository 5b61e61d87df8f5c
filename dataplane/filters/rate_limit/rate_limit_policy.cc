#include "dataplane/filters/rate_limit/rate_limit_policy.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "dataplane/filters/rate_limit/limit_fields.h"
#include "dataplane/filters/text.h"
#include "dataplane/snapshot/snapshot.h"

namespace portico::filters {
namespace {

// What a key consists of, in a fixed number of bytes: longer values are hashed. No two
// lists of parts have the same text: each says its kind and its length.
class KeyText {
 public:
  template <typename T>
  void Add(const T& value) {
    Add({reinterpret_cast<const char*>(&value), sizeof(value)});
  }
  void AddPart(char kind, std::string_view value, const CellTable& table) {
    text_[size_++] = kind;
    if (value.size() <= kMostPlain) {
      text_[size_++] = static_cast<char>(value.size());
      return Add(value);
    }
    text_[size_++] = static_cast<char>(0xff);
    Add(table.HashOf(value));
  }
  void AddAddress(const net::IpAddress& address) {
    // One customer has at least a /64, so all of it is one client.
    text_[size_++] = address.is_v6() ? '6' : '4';
    Add({reinterpret_cast<const char*>(address.bytes().data()),
         address.is_v6() ? size_t{8} : size_t{4}});
  }
  std::string_view view() const { return {text_.data(), size_}; }

 private:
  static constexpr size_t kMostPlain = 64;

  void Add(std::string_view bytes) {
    if (!bytes.empty()) std::memcpy(text_.data() + size_, bytes.data(), bytes.size());
    size_ += bytes.size();
  }

  std::array<char, sizeof(CellKey) + Limit::kMaxParts*(2 + kMostPlain)> text_;
  size_t size_ = 0;
};

std::string_view HeaderValue(const snapshot::PolicyContext& context, std::string_view name) {
  const http::HeaderField* field = context.request.headers.Find(name);
  return field == nullptr ? std::string_view() : field->value;
}

snapshot::LocalReply Refuse(snapshot::PolicyContext& context, const Limit& limit,
                            const GcraDecision& decision) {
  const std::string_view seconds =
      Decimal(context.arena, std::max<int64_t>(1, CeilSeconds(decision.retry_after)));
  context.response_headers.Set(http::HeaderId::kRetryAfter, seconds);
  return {429, "rate_limited",
          context.arena.Concat(
              {"the limit of ", limit.name, " is used up; try again in ", seconds, " s"})};
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
  text.Add(names_[place]);
  for (const Limit::KeyPart& part : limit.key) {
    switch (part.part) {
      case Limit::Part::kClientAddress:
        text.AddAddress(context.client);
        break;
      case Limit::Part::kConsumer:
        if (context.identity.consumer.empty()) {
          text.AddAddress(context.client);
        } else {
          text.AddPart('c', context.identity.consumer, *table_);
        }
        break;
      case Limit::Part::kRoute:
        text.AddPart('r', context.route.name(), *table_);
        break;
      case Limit::Part::kHeader:
        text.AddPart('h', HeaderValue(context, part.name), *table_);
        break;
      case Limit::Part::kClaim:
        text.AddPart('l',
                     context.identity.claims == nullptr
                         ? std::string_view()
                         : context.identity.claims->Find(part.name).value_or(std::string_view()),
                     *table_);
        break;
      case Limit::Part::kClientCertificate:
        if (context.tls == nullptr || !context.tls->has_peer_certificate) {
          text.AddAddress(context.client);
        } else {
          text.AddPart('t', context.tls->peer_certificate.Identity(), *table_);
        }
        break;
    }
  }
  return table_->HashOf(text.view());
}

std::optional<snapshot::LocalReply> RateLimitPolicy::OnRequest(snapshot::PolicyContext& context) const {
  return limits_.size() == 1 ? TakeOne(context) : TakeAll(context);
}

std::optional<snapshot::LocalReply> RateLimitPolicy::TakeOne(
    snapshot::PolicyContext& context) const {
  const Limit& limit = *limits_[0];
  const LimitRate* const rate = &limit.RateFor(context.identity.plan);
  const GcraDecision decision =
      table_->Take(KeyOf(0, context), rate->gcra, limit.ceiling, context.now);
  AddLimitFields(context, limits_, &rate, &decision, 1);
  if (decision.admitted) return std::nullopt;
  return Refuse(context, limit, decision);
}

std::optional<snapshot::LocalReply> RateLimitPolicy::TakeAll(
    snapshot::PolicyContext& context) const {
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
  return Refuse(context, *limits_[refused], decisions[refused]);
}

}  // namespace portico::filters
