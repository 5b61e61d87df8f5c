// HTTP/1.1 message heads, parsed strictly (RFC 9112). No I/O.
#ifndef DATAPLANE_HTTP_H1_PARSER_H_
#define DATAPLANE_HTTP_H1_PARSER_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "dataplane/http/message.h"

namespace portico::http {

// Limits of one head.
struct H1Limits {
  // Request line and fields together, with the empty line. Bytes.
  uint32_t max_header_bytes = 60 * 1024;
  uint32_t max_header_count = 100;
};

// How far a head is.
struct H1ParseResult {
  enum class State : uint8_t { kNeedMore, kDone, kError };
  State state = State::kNeedMore;
  // With kDone: the head's length, from the beginning of the input. The body or
  // the next message begins there.
  size_t consumed = 0;
  // With kError: the status to answer with, and why, a literal in snake_case.
  int status = 0;
  std::string_view reason;
};

// Finds the end of a head and checks its line structure while bytes arrive: it
// begins with a token character, lines end in CRLF and contain no other CR or LF, no
// field is folded, fields have no control characters, it is bounded. Looks at every
// byte once; what it finds does not depend on how the bytes were split.
class H1HeadScanner {
 public:
  // kFirstLine: comes once, when the first line is complete; scan on.
  enum class State : uint8_t { kNeedMore, kFirstLine, kDone, kBadStart, kBadLine, kBadField, kFolded, kTooLarge };
  // `input`: all bytes since the head's beginning, so each call's input begins with
  // the one before. A head may start with one empty line (RFC 9112 section 2.2).
  State Scan(std::string_view input, uint32_t max_bytes);

  // Whether a complete first line was seen, and it.
  bool has_first_line() const { return first_line_end_ != 0; }
  std::string_view first_line(std::string_view input) const {
    return input.substr(begin_, first_line_end_ - begin_);
  }
  // After kDone: the field lines with the empty line at the end.
  std::string_view fields(std::string_view input) const {
    return input.substr(first_line_end_ + 2, line_start_ - first_line_end_ - 2);
  }
  size_t head_begin() const { return begin_; }
  size_t head_end() const { return line_start_; }
  // A byte of the head was seen, maybe only of the empty line before it.
  bool started() const { return started_; }

 private:
  State ScanStart(std::string_view input, size_t limit);

  uint32_t begin_ = 0;
  uint32_t line_start_ = 0;
  uint32_t scanned_ = 0;
  uint32_t first_line_end_ = 0;  // Of its CR.
  bool started_ = false;
  bool start_checked_ = false;
  bool control_ = false;  // In a field.
};

// Parses one request head. The bytes must be contiguous from the head's first byte
// on, but may lie elsewhere at the next call (nothing points to them before kDone).
// What it fills in `head` points to `input` or to the head's arena.
//
// Errors and their reasons:
//   400 invalid_request_line, invalid_method, invalid_target, invalid_path,
//       invalid_percent_encoding, invalid_scheme, invalid_line_ending,
//       invalid_header, folded_header, missing_host, duplicate_host, invalid_host,
//       invalid_content_length, conflicting_length, invalid_transfer_encoding
//   414 uri_too_long        431 headers_too_large, too_many_headers
//   417 invalid_expectation 501 connect_not_supported
//   505 unsupported_version
// After an error `head` holds what was understood; the connection must be closed.
//
// Heads that are complete and plain, as nearly all are, are read in one pass
// (h1_plain.h). All others, and all errors, come from the scanner and from llhttp.
// `plain`: false has every head go that way, for tests that compare the two.
class H1RequestParser {
 public:
  explicit H1RequestParser(bool plain = true) : plain_(plain) {}
  H1ParseResult ParseHead(std::string_view input, const H1Limits& limits, RequestHead& head);

  // After kDone: whether the client lets the connection live on.
  bool keep_alive() const { return keep_alive_; }
  // Whether bytes of a head were seen that is not complete.
  bool started() const { return scanner_.started(); }
  // For the next request.
  void Reset() { *this = H1RequestParser(plain_); }

 private:
  H1HeadScanner scanner_;
  bool plain_;
  bool keep_alive_ = false;
};

// The same for a response. `request_method`: what it answers, because responses to
// HEAD have no body. Informational responses (1xx) come out as heads of their own.
// All errors have status 502. Reasons: invalid_status_line, unsupported_version,
// invalid_line_ending, invalid_header, folded_header, invalid_content_length,
// conflicting_length, invalid_transfer_encoding, headers_too_large,
// too_many_headers, unexpected_upgrade (a 101 that was not asked for, or to another
// protocol). A 101 that was asked for has BodyKind::kUntilClose: the tunnel's bytes.
class H1ResponseParser {
 public:
  explicit H1ResponseParser(bool plain = true) : plain_(plain) {}
  H1ParseResult ParseHead(std::string_view input, const H1Limits& limits, Method request_method, ResponseHead& head);

  // The request asked for this protocol (RequestHead::upgrade), which lives as long.
  void ExpectUpgrade(std::string_view protocol) { upgrade_ = protocol; }

  // After kDone: whether the connection may carry another exchange after this one.
  bool keep_alive() const { return keep_alive_; }
  bool started() const { return scanner_.started(); }
  // For what follows an informational response.
  void Reset() {
    scanner_ = H1HeadScanner();
    keep_alive_ = false;
  }

 private:
  H1HeadScanner scanner_;
  std::string_view upgrade_;
  bool plain_;
  bool keep_alive_ = false;
};

// Removes the fields that belong to one connection only (RFC 9110 section 7.6.1):
// Connection and what it lists, Keep-Alive, Proxy-Connection, Proxy-Authenticate,
// Proxy-Authorization, TE, Trailer, Transfer-Encoding, Upgrade. A Connection list
// cannot remove fields that Portico itself looks at (HeaderId but kOther), or a
// client could take away what an earlier hop says about it. Connections call it
// before the policies run, so what policies add is never removed.
void RemoveHopByHopFields(HeaderList& headers);

// RFC 9110 section 5.6.2.
bool IsToken(std::string_view text);
// Free of control characters but HTAB (RFC 9110 section 5.5).
bool IsFieldValue(std::string_view text);

}  // namespace portico::http

#endif  // DATAPLANE_HTTP_H1_PARSER_H_
