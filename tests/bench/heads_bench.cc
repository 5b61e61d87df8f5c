// What the heads of one proxied HTTP/1.1 request cost the codec: parse and write a
// request with 6 fields, parse and write a response with 8, with the edits that the
// proxy makes in between. Each step is a function of its own, so that
//
//   valgrind --tool=callgrind --toggle-collect='*Exchange*' heads_bench 1000
//
// shows its instructions (docs/benchmarks.md). Without valgrind it prints
// nanoseconds for each exchange.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "dataplane/base/arena.h"
#include "dataplane/base/buffer.h"
#include "dataplane/base/check.h"
#include "dataplane/http/h1_parser.h"
#include "dataplane/http/h1_writer.h"

namespace portico::http {
namespace {

constexpr std::string_view kRequest =
    "GET /api/v1/orders/12345?expand=items&limit=20 HTTP/1.1\r\n"
    "Host: api.example.com\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
    "Accept: application/json, text/plain, */*\r\n"
    "Accept-Encoding: gzip, deflate, br\r\n"
    "Accept-Language: en-GB,en;q=0.5\r\n"
    "Cookie: session=6f1d2b7c9e8a4f03b5d1c2e7; theme=dark\r\n"
    "\r\n";

constexpr std::string_view kResponse =
    "HTTP/1.1 200 OK\r\n"
    "Server: nginx/1.22.1\r\n"
    "Date: Tue, 24 Nov 2026 08:00:00 GMT\r\n"
    "Content-Type: application/json; charset=utf-8\r\n"
    "Content-Length: 1024\r\n"
    "Connection: keep-alive\r\n"
    "Cache-Control: private, max-age=60\r\n"
    "ETag: \"65f1c2aa-400\"\r\n"
    "Vary: Accept-Encoding\r\n"
    "\r\n";

[[gnu::noinline]] void ParseRequest(RequestHead& head) {
  H1RequestParser parser;
  const H1ParseResult result = parser.ParseHead(kRequest, H1Limits(), head);
  PORTICO_CHECK(result.consumed == kRequest.size() && parser.keep_alive());
  RemoveHopByHopFields(head.headers);
}

// As dataplane/proxy/hop_headers.cc.
[[gnu::noinline]] void EditRequest(RequestHead& head) {
  PORTICO_CHECK(head.headers.Find(HeaderId::kXRequestId) == nullptr);
  head.headers.Set(HeaderId::kXRequestId, "0190f3c5-7a1b-4c2d-8e3f-5a6b7c8d9e0f");
  head.headers.Remove(HeaderId::kXForwardedHost);
  head.headers.Remove(HeaderId::kForwarded);
  head.headers.Set(HeaderId::kXForwardedFor, "203.0.113.7");
  head.headers.Set(HeaderId::kXForwardedProto, "https");
  PORTICO_CHECK(head.headers.Find(HeaderId::kTraceparent) == nullptr);
  head.headers.Set(HeaderId::kTraceparent, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
  head.headers.Remove(HeaderId::kTracestate);
}

[[gnu::noinline]] size_t WriteRequest(const RequestHead& head, base::BufferPool& pool) {
  const absl::StatusOr<base::Buffer> bytes = WriteRequestHead(head, pool);
  PORTICO_CHECK(bytes.ok());
  return bytes->size();
}

[[gnu::noinline]] void ParseResponse(ResponseHead& head) {
  H1ResponseParser parser;
  const H1ParseResult result = parser.ParseHead(kResponse, H1Limits(), Method::kGet, head);
  PORTICO_CHECK(result.consumed == kResponse.size() && parser.keep_alive());
  RemoveHopByHopFields(head.headers);
}

[[gnu::noinline]] void EditResponse(ResponseHead& head) {
  if (head.headers.Find(HeaderId::kXRequestId) != nullptr) return;
  head.headers.Add(HeaderId::kXRequestId, "0190f3c5-7a1b-4c2d-8e3f-5a6b7c8d9e0f");
}

[[gnu::noinline]] size_t WriteResponse(const ResponseHead& head, base::BufferPool& pool) {
  const ResponseWriteOptions options{Version::kHttp11, Method::kGet, true, "Tue, 24 Nov 2026 08:00:00 GMT"};
  const absl::StatusOr<base::Buffer> bytes = WriteResponseHead(head, options, pool);
  PORTICO_CHECK(bytes.ok());
  return bytes->size();
}

[[gnu::noinline]] size_t Exchange(base::Arena& arena, base::BufferPool& pool) {
  RequestHead request(arena);
  ParseRequest(request);
  EditRequest(request);
  size_t written = WriteRequest(request, pool);
  ResponseHead response(arena);
  ParseResponse(response);
  EditResponse(response);
  written += WriteResponse(response, pool);
  arena.Reset();
  return written;
}

}  // namespace
}  // namespace portico::http

int main(int argc, char** argv) {
  const int64_t count = argc > 1 ? std::atoll(argv[1]) : 1'000'000;
  portico::base::Arena arena;
  portico::base::BufferPool pool;
  size_t written = portico::http::Exchange(arena, pool);
  const auto start = std::chrono::steady_clock::now();
  for (int64_t i = 0; i < count; ++i) written += portico::http::Exchange(arena, pool);
  const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - start;
  std::printf("%.0f ns for each exchange, %zu bytes written\n", took.count() / static_cast<double>(count), written);
  return 0;
}
