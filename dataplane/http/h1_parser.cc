#include "dataplane/http/h1_parser.h"

#include <algorithm>

#include "dataplane/http/characters.h"
#include "dataplane/http/h1_fields.h"
#include "dataplane/http/h1_plain.h"
#include "dataplane/http/path.h"
#include "dataplane/http/scan.h"

namespace portico::http {
namespace {

using State = H1HeadScanner::State;

H1ParseResult NeedMore() { return {}; }

H1ParseResult Done(size_t consumed) {
  H1ParseResult result;
  result.state = H1ParseResult::State::kDone;
  result.consumed = consumed;
  return result;
}

H1ParseResult Error(int status, std::string_view reason) {
  H1ParseResult result;
  result.state = H1ParseResult::State::kError;
  result.status = status;
  result.reason = reason;
  return result;
}

struct RequestLine {
  std::string_view method;
  std::string_view target;
  Version version = Version::kHttp11;
  // Where malformed; the rest is as far as it was understood.
  std::string_view error;
};

// RFC 9112 section 3: exactly two spaces.
RequestLine ParseRequestLine(std::string_view line) {
  RequestLine out;
  const size_t first = line.find(' ');
  out.method = line.substr(0, first);
  if (!IsToken(out.method)) {
    out.method = {};
    out.error = "invalid_method";
    return out;
  }
  if (first == std::string_view::npos) {
    out.error = "invalid_request_line";
    return out;
  }
  const size_t second = line.find(' ', first + 1);
  out.target = line.substr(first + 1, second == std::string_view::npos ? second : second - first - 1);
  if (out.target.empty() || second == std::string_view::npos) {
    out.error = "invalid_request_line";
    return out;
  }
  out.error = internal::ParseVersion(line.substr(second + 1), "invalid_request_line", out.version);
  return out;
}

void FillRequestLine(const RequestLine& line, RequestHead& head) {
  head.method_text = line.method;
  head.method = LookUpMethod(line.method);
  head.target = line.target;
  head.version = line.version;
}

int StatusOf(std::string_view reason) {
  if (reason == "unsupported_version") return 505;
  if (reason == "too_many_headers") return 431;
  return 400;
}

H1ParseResult ScanError(State state, bool first_line, bool request) {
  switch (state) {
    case State::kBadStart:
      return request ? Error(400, "invalid_request_line") : Error(502, "invalid_status_line");
    case State::kBadLine:
      return Error(request ? 400 : 502, "invalid_line_ending");
    case State::kBadField:
      return Error(request ? 400 : 502, "invalid_header");
    case State::kFolded:
      return Error(request ? 400 : 502, "folded_header");
    default:
      if (!request) return Error(502, "headers_too_large");
      return first_line ? Error(431, "headers_too_large") : Error(414, "uri_too_long");
  }
}

// The fields' meaning, once they are parsed.
H1ParseResult FinishRequest(const RequestLine& line, size_t head_end, RequestHead& head, bool& keep_alive) {
  const internal::Framing framing = internal::ReadFraming(head.headers, line.version);
  if (!framing.error.empty()) return Error(400, framing.error);
  if (framing.several_hosts) return Error(400, "duplicate_host");
  if (framing.host == nullptr && line.version == Version::kHttp11) return Error(400, "missing_host");
  if (framing.host != nullptr) {
    const std::string_view error =
        ParseAuthority(framing.host->value, head.headers.arena(), head.authority, head.host);
    if (!error.empty()) return Error(400, error);
  }
  if (head.method == Method::kConnect) return Error(501, "connect_not_supported");
  const std::string_view host = head.authority;
  if (const std::string_view error = ParseTarget(line.target, head); !error.empty()) return Error(400, error);
  // RFC 9112 section 3.2.2: the authority of an absolute target replaces Host.
  if (head.authority.data() != host.data() && framing.host != nullptr) {
    head.headers.Set(HeaderId::kHost, head.authority);
  }
  if (framing.chunked) {
    head.body = BodyKind::kChunked;
  } else if (framing.has_length) {
    head.body = BodyKind::kLength;
    head.content_length = framing.length;
  }
  if (framing.expect != nullptr && line.version != Version::kHttp10) {
    if (!EqualsIgnoreCase(framing.expect->value, "100-continue")) return Error(417, "invalid_expectation");
    head.expect_continue =
        head.body == BodyKind::kChunked || (head.body == BodyKind::kLength && head.content_length > 0);
  }
  head.upgrade = internal::UpgradeOf(head, framing);
  keep_alive = line.version == Version::kHttp10 ? framing.keep_alive && !framing.close : !framing.close;
  return Done(head_end);
}

}  // namespace

State H1HeadScanner::ScanStart(std::string_view input, size_t limit) {
  if (begin_ == 0 && input[0] == '\r') {
    if (limit < 2) return State::kNeedMore;
    if (input[1] != '\n') return State::kBadLine;
    begin_ = line_start_ = scanned_ = 2;
  }
  if (begin_ >= limit) return State::kNeedMore;
  return Is(input[begin_], kTokenCharacter) ? State::kDone : State::kBadStart;
}

State H1HeadScanner::Scan(std::string_view input, uint32_t max_bytes) {
  const size_t limit = std::min<size_t>(input.size(), max_bytes);
  if (limit == 0) return State::kNeedMore;
  started_ = true;
  if (!start_checked_) {
    const State start = ScanStart(input, limit);
    if (start == State::kNeedMore && input.size() >= max_bytes) return State::kTooLarge;
    if (start != State::kDone) return start;
    start_checked_ = true;
  }
  const char* data = input.data();
  while (true) {
    if (line_start_ < limit && line_start_ != begin_ && (data[line_start_] == ' ' || data[line_start_] == '\t')) {
      return State::kFolded;
    }
    const size_t end = internal::FindLineByte(data, std::max(line_start_, scanned_), limit, control_);
    // A CR that comes last has yet to prove itself.
    if (end + 1 >= limit && (end >= limit || data[end] == '\r')) {
      scanned_ = static_cast<uint32_t>(std::min(end, limit));
      return input.size() >= max_bytes ? State::kTooLarge : State::kNeedMore;
    }
    if (data[end] != '\r' || data[end + 1] != '\n') return State::kBadLine;
    const bool empty = end == line_start_;
    line_start_ = scanned_ = static_cast<uint32_t>(end + 2);
    if (first_line_end_ == 0) {
      first_line_end_ = static_cast<uint32_t>(end);
      // First lines are parsed byte by byte.
      control_ = false;
      return State::kFirstLine;
    }
    if (empty) return control_ ? State::kBadField : State::kDone;
  }
}

H1ParseResult H1RequestParser::ParseHead(std::string_view input, const H1Limits& limits, RequestHead& head) {
  const bool first = !scanner_.started();
  if (first && plain_) {
    const size_t size = internal::ParsePlainRequest(input, limits, head, keep_alive_);
    if (size != 0) return Done(size);
  }
  State state = scanner_.Scan(input, limits.max_header_bytes);
  if (state == State::kFirstLine) {
    const RequestLine line = ParseRequestLine(scanner_.first_line(input));
    if (!line.error.empty()) {
      FillRequestLine(line, head);
      return Error(StatusOf(line.error), line.error);
    }
    state = scanner_.Scan(input, limits.max_header_bytes);
  }
  if (state == State::kNeedMore) return NeedMore();
  // It came in pieces; now it is complete.
  if (state == State::kDone && !first && plain_ && scanner_.head_begin() == 0) {
    const size_t size = internal::ParsePlainRequest(input, limits, head, keep_alive_);
    if (size != 0) return Done(size);
  }
  RequestLine line;
  if (scanner_.has_first_line()) {
    line = ParseRequestLine(scanner_.first_line(input));
    FillRequestLine(line, head);
  }
  if (state != State::kDone) return ScanError(state, scanner_.has_first_line(), /*request=*/true);
  const std::string_view error =
      internal::ParseFields(scanner_.fields(input), limits.max_header_count, head.headers);
  if (!error.empty()) return Error(StatusOf(error), error);
  return FinishRequest(line, scanner_.head_end(), head, keep_alive_);
}

H1ParseResult H1ResponseParser::ParseHead(std::string_view input, const H1Limits& limits, Method request_method,
                                          ResponseHead& head) {
  const bool first = !scanner_.started();
  if (first && plain_) {
    const size_t size = internal::ParsePlainResponse(input, limits, request_method, head, keep_alive_);
    if (size != 0) return Done(size);
  }
  State state = scanner_.Scan(input, limits.max_header_bytes);
  // Clients may send an empty line before a request; servers have no reason to.
  if (scanner_.head_begin() != 0) return Error(502, "invalid_status_line");
  const auto parse_line = [&]() -> std::string_view {
    // "HTTP/1.1 200 OK"; the last space may be missing (RFC 9112 section 4).
    const std::string_view line = scanner_.first_line(input);
    if (line.size() < 12 || line[8] != ' ') return "invalid_status_line";
    const std::string_view error = internal::ParseVersion(line.substr(0, 8), "invalid_status_line", head.version);
    if (!error.empty()) return error;
    if (line[9] < '1' || line[9] > '5' || line[10] < '0' || line[10] > '9' || line[11] < '0' || line[11] > '9' ||
        (line.size() > 12 && line[12] != ' ')) {
      return "invalid_status_line";
    }
    head.status = (line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0');
    head.reason = line.size() > 13 ? line.substr(13) : std::string_view();
    return IsFieldValue(head.reason) ? std::string_view() : "invalid_status_line";
  };
  if (state == State::kFirstLine) {
    if (const std::string_view error = parse_line(); !error.empty()) return Error(502, error);
    state = scanner_.Scan(input, limits.max_header_bytes);
  }
  if (state == State::kNeedMore) return NeedMore();
  if (state != State::kDone) return ScanError(state, scanner_.has_first_line(), /*request=*/false);
  // It came in pieces; now it is complete.
  if (!first && plain_) {
    const size_t size = internal::ParsePlainResponse(input, limits, request_method, head, keep_alive_);
    if (size != 0) return Done(size);
  }
  parse_line();
  std::string_view error = internal::ParseFields(scanner_.fields(input), limits.max_header_count, head.headers);
  if (!error.empty()) return Error(502, error);
  const internal::Framing framing = internal::ReadFraming(head.headers, head.version);
  if (head.status == 101) {
    // What follows is no HTTP: only what was asked for may come, and it must say so (RFC
    // 9110 sections 7.8 and 15.2.2).
    const HeaderField* to = head.headers.Find(HeaderId::kUpgrade);
    if (upgrade_.empty() || to == nullptr || !framing.upgrade || head.version != Version::kHttp11 ||
        head.headers.Count(HeaderId::kUpgrade) != 1 || !EqualsIgnoreCase(to->value, upgrade_)) {
      return Error(502, "unexpected_upgrade");
    }
    head.body = BodyKind::kUntilClose;
    keep_alive_ = false;
    return Done(scanner_.head_end());
  }
  if (!framing.error.empty()) return Error(502, framing.error);
  keep_alive_ = internal::SetResponseBody(framing, request_method, head);
  return Done(scanner_.head_end());
}

}  // namespace portico::http
