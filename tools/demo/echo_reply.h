// What the echo service answers to one request.
#ifndef TOOLS_DEMO_ECHO_REPLY_H_
#define TOOLS_DEMO_ECHO_REPLY_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace portico::demo {

// One request, as it arrived.
struct EchoRequest {
  std::string method;
  // Request target, with the query.
  std::string target;
  // Names in lower case, in the order of arrival.
  std::vector<std::pair<std::string, std::string>> headers;
  // Bytes of the body, and the first kBodyEcho of them.
  uint64_t body_bytes = 0;
  std::string body;
  // False when the client closes afterwards.
  bool keep_alive = true;
};

// Bytes of a request body that are sent back.
inline constexpr uint64_t kBodyEcho = 1024;

// One answer. `head` is complete with its empty line. The body is either `body`,
// or `stream_bytes` bytes made while they are sent.
struct EchoReply {
  std::string head;
  std::string body;
  uint64_t stream_bytes = 0;
  bool chunked = false;
  bool close = false;
  // Answer with a TCP reset instead.
  bool reset = false;
  // Milliseconds before the answer is sent.
  uint32_t delay_ms = 0;
};

// Decides the answer. `name` is the service's name. The query of the target
// steers it:
//   status=503   status code, 200 to 599
//   delay_ms=50  time before the answer, at most 600000
//   bytes=N      N bytes of body, made while they are sent, at most 1 TiB
//   chunked=1    Transfer-Encoding: chunked
//   close=1      close the connection after the answer
//   reset=1      reset the connection instead of an answer
// A path that ends with "/small" gets a fixed body of 13 bytes. Everything else
// gets a JSON object: service, method, path, headers, body_bytes, body. A value
// that makes no sense gets 400 and a sentence.
EchoReply MakeEchoReply(const EchoRequest& request, const std::string& name);

// The answer to bytes that are not HTTP: 400, close.
EchoReply MakeBadRequestReply(const std::string& reason);

}  // namespace portico::demo

#endif  // TOOLS_DEMO_ECHO_REPLY_H_
