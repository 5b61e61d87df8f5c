// Fields behind a body (RFC 9110 section 6.5). No I/O.
#ifndef DATAPLANE_HTTP_TRAILERS_H_
#define DATAPLANE_HTTP_TRAILERS_H_

#include <cstdint>
#include <string_view>

#include "dataplane/base/arena.h"
#include "dataplane/http/headers.h"

namespace portico::http {

// Whether a trailer field may be handed on: a token that is none of those that frame, route,
// authenticate, condition or control a message, say what its content is, or tell of hops (RFC
// 9110 section 6.5.1): whoever merges trailers into the head must not be fooled.
bool IsSafeTrailer(const HeaderField& field);

// Those of `trailers` that are: the same list where all are, nullptr where none is. `trailers` may
// be nullptr.
const HeaderList* SafeTrailers(const HeaderList* trailers, base::Arena& arena);

// Whether a TE field says "trailers".
bool TakesTrailers(const HeaderList& headers);

// The end of a chunked body: "0", the fields that are safe and can be sent, and an empty line. In
// the arena.
std::string_view WriteLastChunk(const HeaderList& trailers, base::Arena& arena);

// What a decoder of chunked bodies found behind the last chunk: field lines, each with one
// "\n" at its end, names and values checked. Kept in the arena; none is taken before the first
// byte.
class TrailerSection {
 public:
  // Together; as BodyDecoder allows.
  static constexpr uint16_t kMaxBytes = 8 * 1024;

  explicit TrailerSection(base::Arena& arena) : arena_(arena) {}
  // The same place may be written again: decoders look ahead.
  void Put(uint16_t at, char byte) {
    if (bytes_ == nullptr) bytes_ = static_cast<char*>(arena_.Allocate(kMaxBytes, 1));
    bytes_[at] = byte;
  }
  // Of the first `size` bytes; nullptr if there are none that are safe, or more than 100.
  const HeaderList* Fields(uint16_t size) const;

 private:
  base::Arena& arena_;
  char* bytes_ = nullptr;
};

}  // namespace portico::http

#endif  // DATAPLANE_HTTP_TRAILERS_H_
