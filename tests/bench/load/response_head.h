// Just enough of HTTP/1.1 to know where a response ends.
#ifndef TESTS_BENCH_LOAD_RESPONSE_HEAD_H_
#define TESTS_BENCH_LOAD_RESPONSE_HEAD_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace portico::bench {

struct ResponseHead {
  size_t size = 0;  // with the empty line
  int status = 0;
  uint64_t content_length = 0;
  bool close = false;  // the server ends the connection after this response
};

enum class HeadResult {
  kComplete,
  kIncomplete,
  // Not HTTP/1.x, or framed in a way that this tool does not read: only Content-Length is.
  kUnsupported,
};

// Reads the head that `bytes` begin with into `head`.
HeadResult ReadResponseHead(std::string_view bytes, ResponseHead& head);

// Bytes of the request head that `bytes` begin with, empty line included; nothing if it is not all
// there. Requests of the benchmarks have no body.
std::optional<size_t> RequestHeadSize(std::string_view bytes);

}  // namespace portico::bench

#endif  // TESTS_BENCH_LOAD_RESPONSE_HEAD_H_
