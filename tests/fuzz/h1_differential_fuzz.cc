// The one pass over plain heads beside the scanner with llhttp. What the first byte
// chooses, a request or a response to one of several methods, must come out the same
// both ways: the verdict, every part of the head, the framing, keep-alive, and what is left
// without the hop-by-hop fields. Two readings of one head are how requests are smuggled.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/base/arena.h"
#include "dataplane/base/check.h"
#include "dataplane/http/h1_parser.h"

namespace portico::http {
namespace {

using State = H1ParseResult::State;

constexpr H1Limits kLimits{2048, 20};

std::string Verdict(const H1ParseResult& result, bool keep_alive) {
  std::string out =
      std::to_string(static_cast<int>(result.state)) + " " + std::to_string(result.status) + " ";
  out += result.reason;
  if (result.state == State::kDone)
    out += " " + std::to_string(result.consumed) + (keep_alive ? " keep" : " close");
  return out;
}

std::string Fields(const HeaderList& headers) {
  std::string out;
  for (const HeaderField& field : headers) {
    out += "\n" + std::to_string(static_cast<int>(field.id)) + " ";
    out.append(field.name).append(":").append(field.value).append(";");
  }
  return out;
}

// With lengths, so that no two different heads look the same.
std::string Part(std::string_view text) {
  return std::to_string(text.size()) + ":" + std::string(text) + " ";
}

std::string ReadRequest(std::string_view input, bool plain) {
  base::Arena arena;
  RequestHead head(arena);
  H1RequestParser parser(plain);
  const H1ParseResult result = parser.ParseHead(input, kLimits, head);
  std::string out = Verdict(result, parser.keep_alive());
  if (result.state != State::kDone) return out;
  for (const std::string_view part : {head.method_text, head.target, head.path, head.query,
                                      head.authority, head.host, head.upgrade}) {
    out += Part(part);
  }
  for (const uint64_t number :
       {static_cast<uint64_t>(head.method), uint64_t{head.has_query},
        static_cast<uint64_t>(head.version), static_cast<uint64_t>(head.body), head.content_length,
        uint64_t{head.expect_continue}}) {
    out += std::to_string(number) + " ";
  }
  out += Fields(head.headers);
  RemoveHopByHopFields(head.headers);
  out += Fields(head.headers);
  return out;
}

std::string ReadResponse(std::string_view input, Method method, bool plain) {
  base::Arena arena;
  ResponseHead head(arena);
  H1ResponseParser parser(plain);
  parser.ExpectUpgrade("websocket");
  const H1ParseResult result = parser.ParseHead(input, kLimits, method, head);
  std::string out = Verdict(result, parser.keep_alive());
  if (result.state != State::kDone) return out;
  out += Part(head.reason);
  for (const uint64_t number :
       {static_cast<uint64_t>(head.status), static_cast<uint64_t>(head.version),
        static_cast<uint64_t>(head.body), head.content_length}) {
    out += std::to_string(number) + " ";
  }
  out += Fields(head.headers);
  RemoveHopByHopFields(head.headers);
  return out + Fields(head.headers);
}

}  // namespace
}  // namespace portico::http

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using portico::http::Method;
  if (size == 0 || size > 4096) return 0;
  // A copy of exactly this size, so that a read beyond it is seen: a string would end with a zero.
  const std::vector<char> bytes(data + 1, data + size);
  const std::string_view copy(bytes.data(), bytes.size());
  constexpr Method kMethods[] = {Method::kGet, Method::kHead, Method::kPost, Method::kConnect};
  const unsigned choice = data[0] % 8;
  if (choice < 4) {
    PORTICO_CHECK(portico::http::ReadRequest(copy, true) ==
                  portico::http::ReadRequest(copy, false));
  } else {
    PORTICO_CHECK(portico::http::ReadResponse(copy, kMethods[choice - 4], true) ==
                  portico::http::ReadResponse(copy, kMethods[choice - 4], false));
  }
  return 0;
}
