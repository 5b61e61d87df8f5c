// Looking at many bytes at once.
#ifndef DATAPLANE_HTTP_SCAN_H_
#define DATAPLANE_HTTP_SCAN_H_

#include <cstddef>
#include <cstdint>

#include "dataplane/http/characters.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace portico::http::internal {

#if defined(__SSE2__)

struct ByteMasks {
  unsigned line;     // CR and LF.
  unsigned control;  // What kValueCharacter is not, CR and LF included.
};

// One bit for each of 16 bytes.
inline ByteMasks Masks16(const char* bytes) {
  const __m128i x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes));
  const __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(x, _mm_set1_epi8(0x1F)), x);
  const __m128i tab = _mm_cmpeq_epi8(x, _mm_set1_epi8('\t'));
  const __m128i control = _mm_or_si128(_mm_andnot_si128(tab, low), _mm_cmpeq_epi8(x, _mm_set1_epi8(0x7F)));
  const __m128i line = _mm_or_si128(_mm_cmpeq_epi8(x, _mm_set1_epi8('\r')), _mm_cmpeq_epi8(x, _mm_set1_epi8('\n')));
  return {static_cast<unsigned>(_mm_movemask_epi8(line)), static_cast<unsigned>(_mm_movemask_epi8(control))};
}

// The controls, space and DEL of 16 bytes.
inline unsigned Invisible16(const char* bytes) {
  const __m128i x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes));
  const __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(x, _mm_set1_epi8(0x20)), x);
  return static_cast<unsigned>(_mm_movemask_epi8(_mm_or_si128(low, _mm_cmpeq_epi8(x, _mm_set1_epi8(0x7F)))));
}

#endif

// The index of the first CR or LF at or after `from` and before `size`, else `size`.
// Sets `control` if another byte that no field value may have comes before it.
inline size_t FindLineByte(const char* data, size_t from, size_t size, bool& control) {
  size_t i = from;
#if defined(__SSE2__)
  while (size >= 16 && i < size) {
    // The last block overlaps what was looked at.
    const size_t start = i + 16 <= size ? i : size - 16;
    ByteMasks masks = Masks16(data + start);
    masks.line &= ~0u << (i - start);
    masks.control &= ~0u << (i - start);
    if (masks.line != 0) {
      const unsigned before = (masks.line & (~masks.line + 1)) - 1;
      if ((masks.control & before) != 0) control = true;
      return start + static_cast<size_t>(__builtin_ctz(masks.line));
    }
    if (masks.control != 0) control = true;
    i = start + 16;
  }
#endif
  for (; i < size; ++i) {
    if (data[i] == '\r' || data[i] == '\n') return i;
    if (!Is(data[i], kValueCharacter)) control = true;
  }
  return size;
}

// Whether all bytes are kValueCharacter.
inline bool AllValueCharacters(const char* data, size_t size) {
#if defined(__SSE2__)
  if (size >= 16) {
    for (size_t i = 0; i + 16 <= size; i += 16) {
      if (Masks16(data + i).control != 0) return false;
    }
    return Masks16(data + size - 16).control == 0;
  }
#endif
  for (size_t i = 0; i < size; ++i) {
    if (!Is(data[i], kValueCharacter)) return false;
  }
  return true;
}

// The same; `data` is followed by 15 bytes that may be looked at.
inline bool BeginsWithValue(const char* data, size_t size) {
#if defined(__SSE2__)
  for (size_t i = 0; i < size; i += 16) {
    const unsigned control = Masks16(data + i).control;
    if (control == 0) continue;
    // Of the last block only what is before the end.
    return size - i < 16 && (control & ((1u << (size - i)) - 1)) == 0;
  }
  return true;
#else
  return AllValueCharacters(data, size);
#endif
}

// Whether all are that, and neither spaces nor tabs.
inline bool AllVisible(const char* data, size_t size) {
#if defined(__SSE2__)
  if (size >= 16) {
    for (size_t i = 0; i + 16 <= size; i += 16) {
      if (Invisible16(data + i) != 0) return false;
    }
    return Invisible16(data + size - 16) == 0;
  }
#endif
  for (size_t i = 0; i < size; ++i) {
    if (static_cast<unsigned char>(data[i]) <= ' ' || data[i] == 0x7F) return false;
  }
  return true;
}

// 16 bytes, or, if not kWhole, what is left of a range: one bit for each byte that is of
// a class. Without SSE2 the same answers come byte by byte.
inline constexpr ptrdiff_t kBlockBytes = 16;

template <bool kWhole>
class Block {
 public:
#if defined(__SSE2__)
  // kWhole: kBlockBytes from `at` on. Otherwise those of them before `end`, where the
  // range up to `end` has kBlockBytes: bits of what lies before `at` are shifted out.
  Block(const char* at, const char* end) {
    const ptrdiff_t left = end - at;
    shift_ = kWhole || left >= kBlockBytes ? 0 : static_cast<unsigned>(kBlockBytes - left);
    x_ = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at - shift_));
  }

  unsigned Equal(char c) const { return Bits(Is(c)); }
  // Where (byte | fold[i]) is text[i]; both have kBlockBytes.
  unsigned Folded(const char* fold, const char* text) const {
    const __m128i folded =
        _mm_or_si128(x_, _mm_loadu_si128(reinterpret_cast<const __m128i*>(fold)));
    return Bits(_mm_cmpeq_epi8(folded, _mm_loadu_si128(reinterpret_cast<const __m128i*>(text))));
  }
  // Controls, DEL and what is not ASCII.
  unsigned NotText() const {
    return Bits(_mm_cmpgt_epi8(_mm_set1_epi8(0x21), _mm_add_epi8(x_, _mm_set1_epi8(1))));
  }
  // The same, the space and "#".
  unsigned NotQuery() const {
    const __m128i invisible =
        _mm_cmpgt_epi8(_mm_set1_epi8(0x22), _mm_add_epi8(x_, _mm_set1_epi8(1)));
    return Bits(_mm_or_si128(invisible, Is('#')));
  }
  // Letters, digits, "-".
  unsigned NameCharacters() const {
    return Bits(_mm_or_si128(Letters(), _mm_or_si128(Within(x_, '0', '9'), Is('-'))));
  }
  // Letters of lower case, digits, "-", ".".
  unsigned HostCharacters() const {
    return Bits(_mm_or_si128(_mm_or_si128(Within(x_, 'a', 'z'), Within(x_, '0', '9')), Within(x_, '-', '.')));
  }
  // kPathCharacter but for a few that are rare.
  unsigned PathCharacters() const {
    return Bits(_mm_or_si128(_mm_or_si128(Letters(), Within(x_, '&', ';')), _mm_or_si128(Is('_'), Is('='))));
  }

 private:
  unsigned Bits(__m128i mask) const {
    const auto bits = static_cast<unsigned>(_mm_movemask_epi8(mask));
    return kWhole ? bits : bits >> shift_;
  }
  __m128i Is(char c) const { return _mm_cmpeq_epi8(x_, _mm_set1_epi8(c)); }
  static __m128i Within(__m128i x, char low, char high) {
    const __m128i from_low = _mm_sub_epi8(x, _mm_set1_epi8(low));
    return _mm_cmpeq_epi8(_mm_min_epu8(from_low, _mm_set1_epi8(static_cast<char>(high - low))), from_low);
  }
  __m128i Letters() const { return Within(_mm_or_si128(x_, _mm_set1_epi8(0x20)), 'a', 'z'); }

  __m128i x_;
  unsigned shift_;
#else
  Block(const char* at, const char* end) : at_(at), size_(end - at) {
    if (kWhole || size_ > kBlockBytes) size_ = kBlockBytes;
  }

  unsigned Equal(char c) const {
    return Bits([c](unsigned char x) { return x == static_cast<unsigned char>(c); });
  }
  unsigned Folded(const char* fold, const char* text) const {
    unsigned bits = 0;
    for (ptrdiff_t i = 0; i < size_; ++i) bits |= ((at_[i] | fold[i]) == text[i] ? 1u : 0u) << i;
    return bits;
  }
  unsigned NotText() const {
    return Bits([](unsigned char x) { return x < 0x20 || x >= 0x7F; });
  }
  unsigned NotQuery() const {
    return Bits([](unsigned char x) { return x <= 0x20 || x >= 0x7F || x == '#'; });
  }
  unsigned NameCharacters() const {
    return Bits(
        [](unsigned char x) { return IsLetter(x | 0x20) || Within(x, '0', '9') || x == '-'; });
  }
  unsigned HostCharacters() const {
    return Bits(
        [](unsigned char x) { return IsLetter(x) || Within(x, '0', '9') || Within(x, '-', '.'); });
  }
  unsigned PathCharacters() const {
    return Bits([](unsigned char x) {
      return IsLetter(x | 0x20) || Within(x, '&', ';') || x == '_' || x == '=';
    });
  }

 private:
  static bool Within(int x, char low, char high) { return x >= low && x <= high; }
  static bool IsLetter(int x) { return Within(x, 'a', 'z'); }
  template <typename F>
  unsigned Bits(F&& f) const {
    unsigned bits = 0;
    for (ptrdiff_t i = 0; i < size_; ++i)
      bits |= (f(static_cast<unsigned char>(at_[i])) ? 1u : 0u) << i;
    return bits;
  }

  const char* at_;
  ptrdiff_t size_;
#endif
};

inline size_t FirstBit(unsigned bits) { return static_cast<unsigned>(__builtin_ctz(bits)); }

}  // namespace portico::http::internal

#endif  // DATAPLANE_HTTP_SCAN_H_
