#include "tools/demo/echo_reply.h"

#include <nlohmann/json.hpp>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

namespace portico::demo {
namespace {

constexpr uint64_t kMaxStreamBytes = uint64_t{1} << 40;
constexpr uint32_t kMaxDelayMs = 600000;
constexpr char kSmallBody[] = "Hello, world!";

// What the query asks for.
struct Wishes {
  uint32_t status = 200;
  uint32_t delay_ms = 0;
  uint64_t bytes = 0;
  bool has_bytes = false;
  bool chunked = false;
  bool close = false;
  bool reset = false;
};

absl::Status ReadNumber(absl::string_view name, absl::string_view value, uint64_t low,
                        uint64_t high, uint64_t& out) {
  if (!absl::SimpleAtoi(value, &out) || out < low || out > high) {
    return absl::InvalidArgumentError(
        absl::StrCat("query parameter ", name, " must be a number from ", low, " to ", high));
  }
  return absl::OkStatus();
}

// Parameters that are not known belong to somebody else and are left alone.
// The first error is returned, and the rest is still read.
absl::Status ReadWishes(absl::string_view query, Wishes& wishes) {
  absl::Status first;
  for (absl::string_view pair : absl::StrSplit(query, '&', absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(pair, absl::MaxSplits('=', 1));
    const auto& [name, value] = parts;
    uint64_t number = 0;
    absl::Status status;
    if (name == "status") {
      status = ReadNumber(name, value, 200, 599, number);
      wishes.status = static_cast<uint32_t>(number);
    } else if (name == "delay_ms") {
      status = ReadNumber(name, value, 0, kMaxDelayMs, number);
      wishes.delay_ms = static_cast<uint32_t>(number);
    } else if (name == "bytes") {
      status = ReadNumber(name, value, 0, kMaxStreamBytes, wishes.bytes);
      wishes.has_bytes = true;
    } else if (name == "chunked") {
      wishes.chunked = value == "1";
    } else if (name == "close") {
      wishes.close = value == "1";
    } else if (name == "reset") {
      wishes.reset = value == "1";
    }
    first.Update(status);
  }
  return first;
}

absl::string_view ReasonPhrase(uint32_t status) {
  switch (status) {
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 204:
      return "No Content";
    case 304:
      return "Not Modified";
    case 400:
      return "Bad Request";
    case 404:
      return "Not Found";
    case 500:
      return "Internal Server Error";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    default:
      return "Status";
  }
}

std::string DescribeRequest(const EchoRequest& request, const std::string& name) {
  nlohmann::ordered_json headers = nlohmann::ordered_json::object();
  for (const auto& [field, value] : request.headers) {
    auto [entry, added] = headers.emplace(field, value);
    if (!added) entry.value() = absl::StrCat(entry.value().get<std::string>(), ", ", value);
  }
  nlohmann::ordered_json answer = {{"service", name},
                                   {"method", request.method},
                                   {"path", request.target},
                                   {"headers", std::move(headers)},
                                   {"body_bytes", request.body_bytes},
                                   {"body", request.body}};
  // Bytes that are not UTF-8 become U+FFFD instead of an exception.
  return answer.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

void WriteHead(uint32_t status, absl::string_view content_type, uint64_t length,
               absl::string_view name, EchoReply& reply) {
  const bool bodyless = status == 204 || status == 304;
  reply.head = absl::StrCat("HTTP/1.1 ", status, " ", ReasonPhrase(status), "\r\n");
  if (!bodyless) {
    absl::StrAppend(&reply.head, "Content-Type: ", content_type, "\r\n");
    if (reply.chunked) {
      absl::StrAppend(&reply.head, "Transfer-Encoding: chunked\r\n");
    } else {
      absl::StrAppend(&reply.head, "Content-Length: ", length, "\r\n");
    }
  }
  if (!name.empty()) absl::StrAppend(&reply.head, "X-Service: ", name, "\r\n");
  absl::StrAppend(&reply.head, reply.close ? "Connection: close\r\n\r\n" : "\r\n");
}

}  // namespace

EchoReply MakeEchoReply(const EchoRequest& request, const std::string& name) {
  const size_t mark = request.target.find('?');
  const absl::string_view target = request.target;
  const absl::string_view path = target.substr(0, mark);
  const absl::string_view query =
      mark == std::string::npos ? absl::string_view() : target.substr(mark + 1);

  Wishes wishes;
  const absl::Status status = ReadWishes(query, wishes);
  EchoReply reply;
  reply.close = wishes.close || !request.keep_alive;
  reply.reset = wishes.reset;
  reply.chunked = wishes.chunked;
  reply.delay_ms = wishes.delay_ms;
  absl::string_view type = "application/json";
  if (!status.ok()) {
    wishes.status = 400;
    wishes.has_bytes = false;
    type = "text/plain; charset=utf-8";
    reply.body = absl::StrCat(status.message(), "\n");
  } else if (wishes.has_bytes) {
    type = "application/octet-stream";
    reply.stream_bytes = wishes.bytes;
  } else if (absl::EndsWith(path, "/small")) {
    type = "text/plain; charset=utf-8";
    reply.body = kSmallBody;
  } else {
    reply.body = DescribeRequest(request, name);
  }
  WriteHead(wishes.status, type, wishes.has_bytes ? wishes.bytes : reply.body.size(), name, reply);
  if (request.method == "HEAD" || wishes.status == 204 || wishes.status == 304) {
    reply.body.clear();
    reply.stream_bytes = 0;
    reply.chunked = false;
  }
  return reply;
}

EchoReply MakeBadRequestReply(const std::string& reason) {
  EchoReply reply;
  reply.close = true;
  reply.body = absl::StrCat("not an HTTP/1.1 request: ", reason, "\n");
  WriteHead(400, "text/plain; charset=utf-8", reply.body.size(), "", reply);
  return reply;
}

}  // namespace portico::demo
