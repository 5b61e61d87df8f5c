#include "dataplane/filters/consumers.h"

#include <algorithm>
#include <optional>

namespace portico::filters {
namespace {

template <typename Visit>
void ForEachConsumer(const api::ResourceSet& resources, Visit visit) {
  for (auto at = resources.lower_bound(api::ResourceKey{"Consumer", ""});
       at != resources.end() && at->first.kind == "Consumer"; ++at) {
    visit(at->first.name, at->second->resource.consumer());
  }
}

std::optional<api::Digest> ParseDigest(std::string_view hex) {
  api::Digest digest;
  if (hex.size() != digest.size() * 2) return std::nullopt;
  const auto digit = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
  };
  for (size_t i = 0; i < digest.size(); ++i) {
    const int high = digit(hex[2 * i]), low = digit(hex[2 * i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    digest[i] = static_cast<uint8_t>(high * 16 + low);
  }
  return digest;
}

// Saturates: the field reaches the year 9999.
base::UnixNanos NanosOf(const google::protobuf::Timestamp& time) {
  constexpr int64_t kMaxSeconds = std::numeric_limits<int64_t>::max() / base::kNanosPerSecond - 1;
  const int64_t seconds = std::clamp<int64_t>(time.seconds(), -kMaxSeconds, kMaxSeconds);
  return seconds * base::kNanosPerSecond + std::clamp(time.nanos(), 0, 999'999'999);
}

}  // namespace

std::shared_ptr<const ConsumerPlans> MakeConsumerPlans(const api::ResourceSet& resources) {
  auto plans = std::make_shared<ConsumerPlans>();
  ForEachConsumer(resources, [&](const std::string& name, const v1::Consumer& spec) {
    plans->emplace(name, spec.plan());
  });
  return plans;
}

std::shared_ptr<const KeyOwners> MakeKeyOwners(const api::ResourceSet& resources) {
  auto owners = std::make_shared<KeyOwners>();
  ForEachConsumer(resources, [&](const std::string& name, const v1::Consumer& spec) {
    for (const v1::ApiKey& key : spec.api_keys()) {
      const std::optional<api::Digest> digest = ParseDigest(key.sha256());
      if (!digest.has_value()) continue;
      KeyOwner owner{name, spec.plan()};
      if (key.has_expires_at()) owner.expires_at = NanosOf(key.expires_at());
      owners->emplace(*digest, std::move(owner));
    }
  });
  return owners;
}

}  // namespace portico::filters
