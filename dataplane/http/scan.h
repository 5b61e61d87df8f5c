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

}  // namespace portico::http::internal

#endif  // DATAPLANE_HTTP_SCAN_H_
