// A keyed hash for tables whose keys come from strangers.
#ifndef DATAPLANE_BASE_SIP_HASH_H_
#define DATAPLANE_BASE_SIP_HASH_H_

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace portico::base {

// SipHash (Aumasson and Bernstein, 2012) with `kBlock` rounds for each eight bytes and
// `kLast` at the end. Who does not know the secret cannot find texts that collide, so
// nobody can fill one place of a table on purpose.
//
// SipHash<1, 3> is enough for that, and is what the hash tables of Rust, Python and Ruby
// use: no better way than guessing the secret is known, and an attacker never gets to
// see a hash. It is not for signing.
template <int kBlock, int kLast>
class SipHash {
 public:
  using Secret = std::array<uint64_t, 2>;
  static_assert(std::endian::native == std::endian::little);

  static uint64_t Hash64(const Secret& secret, std::string_view text) {
    SipHash state(secret);
    state.Take(text);
    state.v2_ ^= 0xff;
    state.Rounds(kLast);
    return state.Folded();
  }

  // Two independent hashes for little more than the price of one.
  static std::array<uint64_t, 2> Hash128(const Secret& secret, std::string_view text) {
    SipHash state(secret);
    state.v1_ ^= 0xee;
    state.Take(text);
    state.v2_ ^= 0xee;
    state.Rounds(kLast);
    const uint64_t first = state.Folded();
    state.v1_ ^= 0xdd;
    state.Rounds(kLast);
    return {first, state.Folded()};
  }

 private:
  explicit SipHash(const Secret& secret)
      : v0_(secret[0] ^ 0x736f6d6570736575),
        v1_(secret[1] ^ 0x646f72616e646f6d),
        v2_(secret[0] ^ 0x6c7967656e657261),
        v3_(secret[1] ^ 0x7465646279746573) {}

  template <typename Word>
  static uint64_t Load(const char* bytes) {
    Word word;
    std::memcpy(&word, bytes, sizeof(word));
    return word;
  }

  // The last `text.size() % 8` bytes, read without a loop: pieces may overlap, as what
  // is in two of them is the same in both.
  static uint64_t Rest(std::string_view text) {
    const size_t rest = text.size() % 8;
    const char* const end = text.data() + text.size();
    if (rest == 0) return 0;
    if (text.size() >= 8) return Load<uint64_t>(end - 8) >> (64 - 8 * rest);
    const char* const begin = text.data();
    if (rest >= 4) return Load<uint32_t>(begin) | Load<uint32_t>(end - 4) << (8 * (rest - 4));
    return Load<uint8_t>(begin) | Load<uint8_t>(begin + rest / 2) << (8 * (rest / 2)) |
           Load<uint8_t>(end - 1) << (8 * (rest - 1));
  }

  void Take(std::string_view text) {
    const char* next = text.data();
    for (size_t words = text.size() / 8; words > 0; --words, next += 8)
      TakeWord(Load<uint64_t>(next));
    TakeWord(Rest(text) | static_cast<uint64_t>(text.size()) << 56);
  }

  void TakeWord(uint64_t word) {
    v3_ ^= word;
    Rounds(kBlock);
    v0_ ^= word;
  }

  void Rounds(int count) {
    for (int i = 0; i < count; ++i) {
      v0_ += v1_;
      v1_ = std::rotl(v1_, 13) ^ v0_;
      v0_ = std::rotl(v0_, 32);
      v2_ += v3_;
      v3_ = std::rotl(v3_, 16) ^ v2_;
      v0_ += v3_;
      v3_ = std::rotl(v3_, 21) ^ v0_;
      v2_ += v1_;
      v1_ = std::rotl(v1_, 17) ^ v2_;
      v2_ = std::rotl(v2_, 32);
    }
  }

  uint64_t Folded() const { return v0_ ^ v1_ ^ v2_ ^ v3_; }

  uint64_t v0_, v1_, v2_, v3_;
};

// For tables.
using TableHash = SipHash<1, 3>;

}  // namespace portico::base

#endif  // DATAPLANE_BASE_SIP_HASH_H_
