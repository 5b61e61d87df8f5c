// The encodings of grpc-web ("gRPC Web", PROTOCOL-WEB): pure functions.
#ifndef DATAPLANE_PROXY_GRPC_WEB_H_
#define DATAPLANE_PROXY_GRPC_WEB_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "dataplane/base/arena.h"
#include "dataplane/http/headers.h"

namespace portico::proxy {

// Decodes base64 (RFC 4648 section 4) as it comes, whatever way it is split. After padding
// another text may begin: the client ended one piece and went on with the next.
class Base64Decoder {
 public:
  // At most this many bytes come out of `size` characters.
  static constexpr size_t MaxDecoded(size_t size) { return (size + 3) / 4 * 3; }

  // Writes what is complete to `out`, which has room for MaxDecoded(text.size()) bytes, and
  // returns how much it was; nullopt: `text` is no base64.
  std::optional<size_t> Decode(std::string_view text, char* out);
  // Whether the text may end here: not in the middle of a group of four.
  bool complete() const { return count_ == 0; }

 private:
  uint32_t bits_ = 0;
  uint8_t count_ = 0;  // Characters of a group, 0 to 3.
  uint8_t padding_ = 0;
};

// With padding. `out` has room for EncodedBase64(bytes.size()).
constexpr size_t EncodedBase64(size_t size) { return (size + 2) / 3 * 4; }
void EncodeBase64(std::string_view bytes, char* out);
std::string_view EncodeBase64(std::string_view bytes, base::Arena& arena);

// The last frame of a response: 0x80, four bytes of length, and the fields, names in lower case.
// Those of both lists, of which each may be nullptr; grpc-status 2 (UNKNOWN) if they name none.
std::string_view GrpcWebTrailerFrame(const http::HeaderList* first, const http::HeaderList* second,
                                     base::Arena& arena);

// Whether a field of a response without messages belongs into its trailer frame.
bool IsGrpcStatusField(const http::HeaderField& field);

}  // namespace portico::proxy

#endif  // DATAPLANE_PROXY_GRPC_WEB_H_
