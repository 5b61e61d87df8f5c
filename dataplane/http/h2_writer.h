// Heads and trailers as nghttp2 takes them. For both roles. No I/O.
#ifndef DATAPLANE_HTTP_H2_WRITER_H_
#define DATAPLANE_HTTP_H2_WRITER_H_

#include <nghttp2/nghttp2.h>

#include <cstddef>
#include <string_view>

#include "absl/status/statusor.h"
#include "dataplane/base/arena.h"
#include "dataplane/http/message.h"

namespace portico::http {

// In the arena that was given. Values lie where they lay in the head, so they must live until
// nghttp2 has copied them, which it does when a frame is submitted.
struct H2Block {
  nghttp2_nv* fields = nullptr;
  size_t count = 0;
};

// All leave out the fields that HTTP/2 does not know (RFC 9113 section 8.2.2) and those between
// two neighbours, write names in lower case, and refuse what cannot be sent, as the writers of
// http/h1_writer.h do (InvalidArgument naming the field).

// :method, :scheme, :authority and :path from `head`, fields, Content-Length from head.body. With
// head.upgrade: an extended CONNECT (RFC 8441), without the fields that the handshake of
// HTTP/1.1 needs. `secure`: what :scheme says.
absl::StatusOr<H2Block> RequestBlock(const RequestHead& head, bool secure, base::Arena& arena);

// :status, fields, Content-Length as WriteResponseHead() has it. `date`: as
// ResponseWriteOptions::date. `tunnel`: it opens the tunnel that an extended CONNECT asked for;
// its status is 200, whatever HTTP/1.1 calls it.
absl::StatusOr<H2Block> ResponseBlock(const ResponseHead& head, Method request_method, bool tunnel,
                                      std::string_view date, base::Arena& arena);

// Fields that follow a body. Those that no trailer may have are left out.
absl::StatusOr<H2Block> TrailerBlock(const HeaderList& trailers, base::Arena& arena);

}  // namespace portico::http

#endif  // DATAPLANE_HTTP_H2_WRITER_H_
