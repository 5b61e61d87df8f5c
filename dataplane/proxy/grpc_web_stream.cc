#include "dataplane/proxy/grpc_web_stream.h"

#include <utility>

namespace portico::proxy {
namespace {

using event::Task;
using http::BodyChunk;
using http::HeaderId;

constexpr std::string_view kGrpcType = "application/grpc";
constexpr std::string_view kWebType = "application/grpc-web";
constexpr std::string_view kWebTextType = "application/grpc-web-text";

// What stands behind the name of the type: "+proto", "; charset=utf-8".
std::string_view Behind(std::string_view type, std::string_view name) {
  return type.substr(name.size());
}

}  // namespace

GrpcWebStream::GrpcWebStream(http::ServerStream& inner, base::BufferPool& pool, Grpc response)
    : inner_(inner), pool_(pool), text_response_(response == Grpc::kWebText) {
  http::RequestHead& head = inner.request();
  const http::HeaderField* type = head.headers.Find(HeaderId::kContentType);
  const std::string_view sent = type == nullptr ? std::string_view() : type->value;
  text_request_ = GrpcOfType(sent) == Grpc::kWebText;
  const std::string_view name = text_request_ ? kWebTextType : kWebType;
  if (sent.size() >= name.size()) {
    head.headers.Set(HeaderId::kContentType, arena().Concat({kGrpcType, Behind(sent, name)}));
  }
  head.headers.Remove(HeaderId::kAccept);
  head.headers.Remove(HeaderId::kContentLength);
  if (head.body == http::BodyKind::kLength) {
    head.body = http::BodyKind::kChunked;
    head.content_length = 0;
  }
}

Task<absl::StatusOr<BodyChunk>> GrpcWebStream::ReadBody() {
  if (text_request_) return ReadText();
  return inner_.ReadBody();
}

Task<absl::StatusOr<BodyChunk>> GrpcWebStream::ReadText() {
  while (true) {
    absl::StatusOr<BodyChunk> piece = co_await inner_.ReadBody();
    if (!piece.ok()) co_return piece.status();
    BodyChunk out;
    out.end = piece->end;
    out.trailers = piece->trailers;
    if (!piece->bytes.empty()) {
      base::Buffer decoded = pool_.Allocate(Base64Decoder::MaxDecoded(piece->bytes.size()));
      const std::optional<size_t> size = decoder_.Decode(piece->bytes, decoded.data());
      if (!size.has_value()) co_return absl::InvalidArgumentError("invalid_base64");
      decoded.set_size(*size);
      out.bytes = decoded.view();
      out.owner = std::move(decoded);
    }
    if (out.end && !decoder_.complete()) co_return absl::InvalidArgumentError("invalid_base64");
    // Less than a group of four says nothing yet.
    if (out.end || !out.bytes.empty()) co_return std::move(out);
  }
}

http::ResponseHead* GrpcWebStream::Translate(const http::ResponseHead& head) {
  const std::string_view type = head.headers.Find(HeaderId::kContentType)->value;
  const std::string_view name = text_response_ ? kWebTextType : kWebType;
  auto* const web = arena().New<http::ResponseHead>(arena());
  auto* const status = arena().New<http::HeaderList>(arena());
  web->status = head.status;
  web->body = http::BodyKind::kChunked;
  for (const http::HeaderField& field : head.headers) {
    if (field.name.empty() || field.id == HeaderId::kContentLength ||
        field.id == HeaderId::kContentType) {
      continue;
    }
    (IsGrpcStatusField(field) ? *status : web->headers).Add(field);
  }
  web->headers.Add(HeaderId::kContentType, arena().Concat({name, Behind(type, kGrpcType)}));
  head_status_ = status;
  return web;
}

Task<absl::Status> GrpcWebStream::SendHead(const http::ResponseHead& head, BodyChunk first) {
  const http::HeaderField* type = head.headers.Find(HeaderId::kContentType);
  translates_ = type != nullptr && GrpcOfType(type->value) == Grpc::kGrpc;
  if (!translates_) return inner_.SendHead(head, std::move(first));
  return Send(Translate(head), std::move(first));
}

Task<absl::Status> GrpcWebStream::SendBody(BodyChunk chunk) {
  if (!translates_) return inner_.SendBody(std::move(chunk));
  return Send(nullptr, std::move(chunk));
}

void GrpcWebStream::Encode(BodyChunk& chunk) {
  if (!text_response_ || chunk.bytes.empty()) return;
  base::Buffer text = pool_.Allocate(EncodedBase64(chunk.bytes.size()));
  EncodeBase64(chunk.bytes, text.data());
  text.set_size(EncodedBase64(chunk.bytes.size()));
  chunk.bytes = text.view();
  chunk.owner = std::move(text);
}

std::string_view GrpcWebStream::TrailerFrame(const http::HeaderList* trailers) {
  const std::string_view frame = GrpcWebTrailerFrame(head_status_, trailers, arena());
  return text_response_ ? EncodeBase64(frame, arena()) : frame;
}

Task<absl::Status> GrpcWebStream::Send(const http::ResponseHead* head, BodyChunk chunk) {
  BodyChunk last;
  if (chunk.end) {
    last.bytes = TrailerFrame(std::exchange(chunk.trailers, nullptr));
    last.end = true;
    chunk.end = false;
  }
  Encode(chunk);
  if (last.end && chunk.bytes.empty()) chunk = std::exchange(last, {});
  absl::Status status;
  if (head != nullptr) {
    status = co_await inner_.SendHead(*head, std::move(chunk));
  } else {
    status = co_await inner_.SendBody(std::move(chunk));
  }
  if (!status.ok() || !last.end) co_return status;
  co_return co_await inner_.SendBody(std::move(last));
}

}  // namespace portico::proxy
