#include "dataplane/proxy/local_reply.h"

#include <charconv>
#include <cstddef>

#include "dataplane/proxy/grpc_web.h"

namespace portico::proxy {
namespace {

using http::HeaderId;

// grpc-message is percent-encoded (gRPC over HTTP/2, "Status-Message").
std::string_view EscapeGrpcMessage(std::string_view text, base::Arena& arena) {
  constexpr char kHex[] = "0123456789ABCDEF";
  char* const start = static_cast<char*>(arena.Allocate(text.size() * 3, 1));
  char* out = start;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte <= 0x7e && byte != '%') {
      *out++ = c;
    } else {
      *out++ = '%';
      *out++ = kHex[byte >> 4];
      *out++ = kHex[byte & 15];
    }
  }
  return {start, static_cast<size_t>(out - start)};
}

// A whole response of status 200 that says `status` and `message` in its head or, for grpc-web,
// in its trailer frame.
void RenderGrpc(Grpc grpc, std::string_view status, std::string_view message, base::Arena& arena,
                RenderedReply& rendered) {
  http::ResponseHead& head = rendered.head;
  head.status = 200;
  if (grpc == Grpc::kGrpc) {
    head.headers.Add(HeaderId::kContentType, "application/grpc");
    head.headers.Add(HeaderId::kGrpcStatus, status);
    head.headers.Add("grpc-message", message);
    return;
  }
  http::HeaderList fields(arena);
  fields.Add(HeaderId::kGrpcStatus, status);
  fields.Add("grpc-message", message);
  rendered.body = GrpcWebTrailerFrame(&fields, nullptr, arena);
  if (grpc == Grpc::kWebText) rendered.body = EncodeBase64(rendered.body, arena);
  head.headers.Add(HeaderId::kContentType, grpc == Grpc::kWebText
                                               ? "application/grpc-web-text+proto"
                                               : "application/grpc-web+proto");
  head.body = http::BodyKind::kLength;
  head.content_length = rendered.body.size();
}

}  // namespace

std::string_view Number(int value, base::Arena& arena) {
  char text[16];
  const auto end = std::to_chars(text, text + sizeof text, value);
  return arena.Copy({text, static_cast<size_t>(end.ptr - text)});
}

std::string_view GrpcMessage(std::string_view reason, std::string_view message,
                             base::Arena& arena) {
  return EscapeGrpcMessage(arena.Concat({reason, ": ", message}), arena);
}

int GrpcStatusFor(int http_status) {
  switch (http_status) {
    case 400:
      return 13;  // INTERNAL
    case 401:
      return 16;  // UNAUTHENTICATED
    case 403:
      return 7;  // PERMISSION_DENIED
    case 404:
      return 12;  // UNIMPLEMENTED
    case 408:
    case 504:
      return 4;  // DEADLINE_EXCEEDED
    case 413:
    case 429:
    case 431:
      return 8;  // RESOURCE_EXHAUSTED
    case 502:
    case 503:
      return 14;  // UNAVAILABLE
    default:
      return 2;  // UNKNOWN
  }
}

std::string_view EscapeJson(std::string_view text, base::Arena& arena) {
  constexpr char kHex[] = "0123456789abcdef";
  size_t extra = 0;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    extra += byte < 0x20 ? 5 : (c == '"' || c == '\\') ? 1 : 0;
  }
  if (extra == 0) return text;
  char* const start = static_cast<char*>(arena.Allocate(text.size() + extra, 1));
  char* out = start;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20) {
      *out++ = '\\';
      *out++ = 'u';
      *out++ = '0';
      *out++ = '0';
      *out++ = kHex[byte >> 4];
      *out++ = kHex[byte & 15];
    } else {
      if (c == '"' || c == '\\') *out++ = '\\';
      *out++ = c;
    }
  }
  return {start, static_cast<size_t>(out - start)};
}

RenderedReply RenderLocalReply(const snapshot::LocalReply& reply, Grpc grpc,
                               std::string_view request_id, base::Arena& arena) {
  RenderedReply rendered(arena);
  http::ResponseHead& head = rendered.head;
  if (grpc != Grpc::kNone) {
    RenderGrpc(grpc, Number(GrpcStatusFor(reply.status), arena),
               GrpcMessage(reply.reason, reply.message, arena), arena, rendered);
  } else {
    rendered.body =
        arena.Concat({"{\"error\": \"", EscapeJson(reply.message, arena), "\", \"reason\": \"",
                      EscapeJson(reply.reason, arena), "\", \"request_id\": \"",
                      EscapeJson(request_id, arena), "\"}\n"});
    head.status = reply.status;
    head.headers.Add(HeaderId::kContentType, "application/json");
    head.body = http::BodyKind::kLength;
    head.content_length = rendered.body.size();
  }
  if (!request_id.empty()) head.headers.Add(HeaderId::kXRequestId, request_id);
  return rendered;
}

}  // namespace portico::proxy
