// What the proxy knows of gRPC over HTTP: pure functions.
#ifndef DATAPLANE_PROXY_GRPC_H_
#define DATAPLANE_PROXY_GRPC_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "dataplane/http/headers.h"

namespace portico::proxy {

// What a request is, and so what its response is to be.
enum class Grpc : uint8_t {
  kNone,
  kGrpc,     // application/grpc, application/grpc+proto, ...
  kWeb,      // application/grpc-web...: trailers are a part of the body
  kWebText,  // application/grpc-web-text...: and the body is base64
};

// By a Content-Type. Parameters and the part behind "+" are as they like.
Grpc GrpcOfType(std::string_view content_type);

// By the Content-Type of a request; of grpc-web, the response is what the Accept field asks for.
// Most requests have none, or another one: that costs them next to nothing.
Grpc GrpcOfRequest(const http::HeaderList& headers, const http::HeaderField& type);
inline Grpc GrpcOfRequest(const http::HeaderList& headers) {
  const http::HeaderField* type = headers.Find(http::HeaderId::kContentType);
  // "application/grpc" has its "g" here, and there is no other type like that.
  constexpr size_t kMark = 12;
  if (type == nullptr || type->value.size() <= kMark || (type->value[kMark] | 0x20) != 'g') {
    return Grpc::kNone;
  }
  return GrpcOfRequest(headers, *type);
}

// A value of grpc-timeout ("gRPC over HTTP2", Timeout): 1 to 8 digits and a unit of H, M, S, m, u
// or n, in nanoseconds; what is longer than those can count is as long as they can. nullopt: it is
// none.
std::optional<int64_t> ParseGrpcTimeout(std::string_view text);

// Codes of https://grpc.io/docs/guides/status-codes.
inline constexpr int kGrpcOk = 0;
inline constexpr int kGrpcUnknown = 2;
inline constexpr int kGrpcDeadlineExceeded = 4;
inline constexpr int kGrpcInternal = 13;
inline constexpr int kGrpcUnavailable = 14;
inline constexpr int kNoGrpcStatus = -1;

// The status that `fields`, a head or trailers, tell: kNoGrpcStatus without one, UNKNOWN if it is
// none of 0 to 16.
int GrpcStatusOf(const http::HeaderList& fields);

// Whether an upstream that answers with this counts as failing: UNAVAILABLE and INTERNAL.
inline bool IsUpstreamFailure(int grpc_status) {
  return grpc_status == kGrpcUnavailable || grpc_status == kGrpcInternal;
}

}  // namespace portico::proxy

#endif  // DATAPLANE_PROXY_GRPC_H_
