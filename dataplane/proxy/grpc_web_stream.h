// A grpc-web client's exchange, as if it spoke gRPC.
#ifndef DATAPLANE_PROXY_GRPC_WEB_STREAM_H_
#define DATAPLANE_PROXY_GRPC_WEB_STREAM_H_

#include "dataplane/base/buffer.h"
#include "dataplane/event/task.h"
#include "dataplane/http/stream.h"
#include "dataplane/proxy/grpc.h"
#include "dataplane/proxy/grpc_web.h"

namespace portico::proxy {

// Stands in front of the client's stream. What is read is application/grpc; what is sent as that
// goes out in the client's encoding, message by message, its trailers as the last frame of the
// body. A response that is no gRPC (an error page) passes as it is.
class GrpcWebStream final : public http::ServerStream {
 public:
  // Makes the request one of gRPC: content-type, TE, an unknown length. `response`: kWeb or
  // kWebText. `inner` and `pool` outlive it.
  GrpcWebStream(http::ServerStream& inner, base::BufferPool& pool, Grpc response);

  http::RequestHead& request() override { return inner_.request(); }
  base::Arena& arena() override { return inner_.arena(); }
  void LimitBody(uint64_t max_bytes) override { inner_.LimitBody(max_bytes); }
  event::Task<absl::StatusOr<http::BodyChunk>> ReadBody() override;
  // Of text nobody knows how much is a byte.
  bool BodyBuffered() const override { return !text_request_ && inner_.BodyBuffered(); }
  event::Task<absl::Status> SendHead(const http::ResponseHead& head,
                                     http::BodyChunk first) override;
  event::Task<absl::Status> SendBody(http::BodyChunk chunk) override;
  void Abort() override { inner_.Abort(); }
  event::CancelScope& scope() override { return inner_.scope(); }
  uint64_t request_body_bytes() const override { return inner_.request_body_bytes(); }
  uint64_t response_body_bytes() const override { return inner_.response_body_bytes(); }

 private:
  event::Task<absl::StatusOr<http::BodyChunk>> ReadText();
  // The head that the client gets; keeps those fields that belong into the trailer frame.
  http::ResponseHead* Translate(const http::ResponseHead& head);
  // `head` may be nullptr: it was sent.
  event::Task<absl::Status> Send(const http::ResponseHead* head, http::BodyChunk chunk);
  void Encode(http::BodyChunk& chunk);
  std::string_view TrailerFrame(const http::HeaderList* trailers);

  // Constant after construction.
  http::ServerStream& inner_;
  base::BufferPool& pool_;
  const bool text_response_;
  bool text_request_ = false;

  Base64Decoder decoder_;
  bool translates_ = false;
  const http::HeaderList* head_status_ = nullptr;
};

}  // namespace portico::proxy

#endif  // DATAPLANE_PROXY_GRPC_WEB_STREAM_H_
