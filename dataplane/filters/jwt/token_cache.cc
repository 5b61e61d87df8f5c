#include "dataplane/filters/jwt/token_cache.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "openssl/rand.h"

namespace portico::filters {
namespace {

// What the sets are sized for; a typical token with its claims.
constexpr size_t kTypicalBytes = 1024;
constexpr size_t kMinSets = 8;
// The signature differs between any two tokens of an issuer, so hashing the end
// of a token is enough, and of that 192 bits; the comparison is over all of it.
constexpr size_t kHashedBytes = 32;

}  // namespace

size_t TokenCache::Entry::bytes() const {
  return sizeof(Entry) + token.capacity() + verified.claims.capacity();
}

TokenCache::TokenCache(size_t max_bytes)
    : max_bytes_(max_bytes), sets_(std::max(kMinSets, max_bytes / kTypicalBytes / (kWays / 2))) {
  RAND_bytes(reinterpret_cast<uint8_t*>(secret_.data()), sizeof(secret_));
}

uint64_t TokenCache::HashOf(std::string_view token) const {
  const std::string_view end = token.substr(token.size() - std::min(token.size(), kHashedBytes));
  return base::TableHash::Hash64(secret_, end);
}

TokenCache::Way* TokenCache::FindWay(const api::Digest& fingerprint, std::string_view token) {
  const uint64_t hash = HashOf(token);
  for (Way& way : sets_[hash % sets_.size()]) {
    if (way.entry != nullptr && way.tag == static_cast<uint32_t>(hash >> 32) && way.entry->token == token &&
        way.entry->fingerprint == fingerprint) {
      return &way;
    }
  }
  return nullptr;
}

const VerifiedToken* TokenCache::Find(const api::Digest& fingerprint, std::string_view token) {
  Way* way = FindWay(fingerprint, token);
  if (way == nullptr) {
    ++misses_;
    return nullptr;
  }
  ++hits_;
  way->used = ++clock_;
  return &way->entry->verified;
}

void TokenCache::Drop(Way& way) {
  bytes_ -= way.entry->bytes();
  --entries_;
  way.entry.reset();
}

void TokenCache::Erase(const api::Digest& fingerprint, std::string_view token) {
  if (Way* way = FindWay(fingerprint, token); way != nullptr) Drop(*way);
}

void TokenCache::Shrink() {
  while (true) {
    Set& set = sets_[hand_];
    hand_ = hand_ + 1 == sets_.size() ? 0 : hand_ + 1;
    Way* oldest = nullptr;
    for (Way& way : set) {
      // Ages, so that the clock may wrap.
      if (way.entry != nullptr && (oldest == nullptr || clock_ - way.used > clock_ - oldest->used)) oldest = &way;
    }
    if (oldest == nullptr) continue;
    return Drop(*oldest);
  }
}

void TokenCache::Insert(const api::Digest& fingerprint, std::string_view token, VerifiedToken verified) {
  if (FindWay(fingerprint, token) != nullptr) return;
  auto entry = std::make_unique<Entry>(Entry{fingerprint, std::string(token), std::move(verified)});
  const size_t size = entry->bytes();
  if (size > max_bytes_) return;
  while (entries_ != 0 && bytes_ + size > max_bytes_) Shrink();
  const uint64_t hash = HashOf(token);
  Set& set = sets_[hash % sets_.size()];
  Way* place = &set[0];
  for (Way& way : set) {
    if (way.entry == nullptr) {
      place = &way;
      break;
    }
    if (clock_ - way.used > clock_ - place->used) place = &way;
  }
  if (place->entry != nullptr) Drop(*place);
  place->tag = static_cast<uint32_t>(hash >> 32);
  place->used = ++clock_;
  place->entry = std::move(entry);
  bytes_ += size;
  ++entries_;
}

}  // namespace portico::filters
