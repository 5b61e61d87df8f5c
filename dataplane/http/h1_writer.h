// Writes HTTP/1.1 heads and chunk framing. No I/O.
#ifndef DATAPLANE_HTTP_H1_WRITER_H_
#define DATAPLANE_HTTP_H1_WRITER_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "dataplane/base/buffer.h"
#include "dataplane/base/clock.h"
#include "dataplane/http/message.h"

namespace portico::http {

// Both writers leave out the fields that belong to one connection or to framing
// (those of RemoveHopByHopFields() but for a Connection field's list, and
// Content-Length, Expect) and write what the framing needs themselves. They refuse
// names that are no tokens and values with CR, LF or NUL (InvalidArgument naming
// the field): nothing can split a message. A buffer larger than usual is taken
// where the head needs it.

// "METHOD path?query HTTP/1.1", Host from head.authority, fields, framing from
// head.body: Content-Length, or Transfer-Encoding: chunked (kChunked and
// kUntilClose), or nothing (kNone; "Content-Length: 0" for POST, PUT and PATCH), and
// Connection and Upgrade from head.upgrade.
absl::StatusOr<base::Buffer> WriteRequestHead(const RequestHead& head, base::BufferPool& pool);

// How a response goes out.
struct ResponseWriteOptions {
  // Of the client.
  Version version = Version::kHttp11;
  Method request_method = Method::kGet;
  // Otherwise "Connection: close" is written (for HTTP/1.0 clients, "Connection:
  // keep-alive" if true).
  bool keep_alive = true;
  // Written as Date if there is none; empty: nothing.
  std::string_view date;
  // With status 101: the protocol that begins behind the head.
  std::string_view upgrade = {};
};

// How the body of a response is sent to a client: kChunked and kUntilClose become
// kChunked for HTTP/1.1 and kUntilClose for HTTP/1.0; kNone where no body may
// follow (HEAD, 1xx, 204, 304).
BodyKind ResponseBodyFraming(const ResponseHead& head, Version version, Method request_method);

// Status line, fields, framing. Responses without a body by nature (HEAD, 304) keep
// a Content-Length: the one of head.body, else the field; others with BodyKind
// kNone get "Content-Length: 0", and 1xx and 204 get none.
absl::StatusOr<base::Buffer> WriteResponseHead(const ResponseHead& head, const ResponseWriteOptions& options,
                                               base::BufferPool& pool);

// Writes "1a2b\r\n" for a chunk of `size` bytes (not 0) into `out` and returns it.
inline constexpr size_t kChunkHeadBytes = 18;
std::string_view WriteChunkHead(uint64_t size, char (&out)[kChunkHeadBytes]);
inline constexpr std::string_view kChunkEnd = "\r\n";
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";
// The end of the last piece and of the body in one.
inline constexpr std::string_view kChunkEndAndLast = "\r\n0\r\n\r\n";

// "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110 section 5.6.7), formatted again only
// when the second changes. One for each worker. What Get() returns stays valid
// until the next call.
class DateCache {
 public:
  std::string_view Get(base::UnixNanos now);

 private:
  int64_t second_ = -1;
  char text_[29];
};

}  // namespace portico::http

#endif  // DATAPLANE_HTTP_H1_WRITER_H_
