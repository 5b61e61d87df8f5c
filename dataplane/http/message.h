// Requests and responses, whatever version carried them.
#ifndef DATAPLANE_HTTP_MESSAGE_H_
#define DATAPLANE_HTTP_MESSAGE_H_

#include <cstdint>
#include <string_view>

#include "dataplane/base/arena.h"
#include "dataplane/base/buffer.h"
#include "dataplane/event/pipe.h"
#include "dataplane/http/headers.h"

namespace portico::http {

enum class Method : uint8_t { kOther, kGet, kHead, kPost, kPut, kDelete, kConnect, kOptions, kTrace, kPatch };
Method LookUpMethod(std::string_view text);  // case-sensitive, RFC 9110 section 9.1
bool IsIdempotent(Method method);            // RFC 9110 section 9.2.2

enum class Version : uint8_t { kHttp10, kHttp11, kHttp2 };

// How a body's end is known.
enum class BodyKind : uint8_t { kNone, kLength, kChunked, kUntilClose };

// Slices point into the connection's receive buffer or into the arena, and live
// until the exchange ends.
struct RequestHead {
  explicit RequestHead(base::Arena& arena) : headers(arena) {}
  Method method = Method::kOther;
  std::string_view method_text;
  // As received, in origin-form: path and query ("/a%20b?x=1"), or "*".
  std::string_view target;
  // Canonical path (dot segments removed, unreserved characters decoded,
  // percent-encodings in upper case) used by match, policies and upstream alike;
  // and the query without "?", as received.
  std::string_view path;
  std::string_view query;
  bool has_query = false;
  // Host field or absolute-form authority, lower case, as received with port.
  std::string_view authority;
  // Without port.
  std::string_view host;
  Version version = Version::kHttp11;
  BodyKind body = BodyKind::kNone;
  uint64_t content_length = 0;  // with kLength
  bool expect_continue = false;
  // The client takes trailers of the response: HTTP/1.1 with "TE: trailers" (RFC 9110 section
  // 6.5.1), and HTTP/2. The TE field itself is of one hop and is not in `headers`; gRPC requests
  // are sent upstream with one.
  bool takes_trailers = false;
  // The protocol that the client asks to go on with, in lower case ("websocket"; Upgrade,
  // RFC 9110 section 7.8). Empty: none. See http/stream.h, Tunnels.
  std::string_view upgrade;
  // The request line with its CRLF, where the parser found it to be in the form that we
  // would write (h1_writer.h): as long as the members above point into it, writing is
  // copying. Otherwise empty.
  std::string_view line;
  HeaderList headers;
};

struct ResponseHead {
  explicit ResponseHead(base::Arena& arena) : headers(arena) {}
  int status = 0;
  std::string_view reason;  // As received; empty: the standard one is used.
  Version version = Version::kHttp11;
  BodyKind body = BodyKind::kNone;
  uint64_t content_length = 0;  // with kLength
  // The status line with its CRLF, as RequestHead::line.
  std::string_view line;
  HeaderList headers;
};

// The standard reason phrase (RFC 9110 section 15); "Unknown" if there is none.
std::string_view ReasonPhrase(int status);

// A piece of a body. `bytes` lives in `owner` (or, without an owner, longer than
// the exchange). `end`: nothing follows; the last piece may be empty.
struct BodyChunk {
  base::Buffer owner;
  std::string_view bytes;
  // Instead of bytes here, those in a pipe: only between streams that agreed on it
  // (ServerStream::TakesPipes() and UsePipes() in http/stream.h).
  event::PipeLease pipe;
  // With `end`: fields that follow the body (RFC 9110 section 6.5), living as long as the
  // exchange. The proxy hands on only those that IsSafeTrailer() (http/trailers.h) lets pass;
  // HTTP/1.1 requests leave them out, and so do responses to clients that do not take them,
  // which RFC 9112 section 7.1.2 allows.
  const HeaderList* trailers = nullptr;
  bool end = false;

  size_t size() const { return pipe == nullptr ? bytes.size() : pipe->size(); }
};

}  // namespace portico::http

#endif  // DATAPLANE_HTTP_MESSAGE_H_
