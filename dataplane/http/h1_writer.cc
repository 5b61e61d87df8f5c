#include "dataplane/http/h1_writer.h"

#include <charconv>
#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"
#include "dataplane/http/characters.h"
#include "dataplane/http/h1_parser.h"

namespace portico::http {
namespace {

// Enough for what is written besides the fields: versions, lengths, framing.
constexpr size_t kFixedBytes = 256;

// Appends to a buffer that has room for all of it.
class HeadWriter {
 public:
  explicit HeadWriter(char* out) : begin_(out), out_(out) {}

  HeadWriter& Put(std::string_view text) {
    if (!text.empty()) std::memcpy(out_, text.data(), text.size());
    out_ += text.size();
    return *this;
  }
  HeadWriter& Put(char c) {
    *out_++ = c;
    return *this;
  }
  HeadWriter& PutNumber(uint64_t number) {
    out_ = std::to_chars(out_, out_ + 20, number).ptr;
    return *this;
  }
  void PutField(std::string_view name, std::string_view value) { Put(name).Put(": ").Put(value).Put("\r\n"); }
  size_t size() const { return static_cast<size_t>(out_ - begin_); }

 private:
  char* begin_;
  char* out_;
};

absl::Status BadField(const HeaderField& field) {
  return absl::InvalidArgumentError(
      absl::StrCat("header field \"", std::string(field.name.substr(0, 64)), "\" has a name or a value that cannot be sent"));
}

// Visible ASCII or above, no space: part of a first line.
bool IsLinePart(std::string_view text) {
  for (const char c : text) {
    if (!Is(c, kValueCharacter) || c == ' ' || c == '\t') return false;
  }
  return true;
}

// Written by us from what the framing needs, or never.
bool IsOurs(HeaderId id) {
  switch (id) {
    case HeaderId::kConnection:
    case HeaderId::kContentLength:
    case HeaderId::kExpect:
    case HeaderId::kKeepAlive:
    case HeaderId::kProxyConnection:
    case HeaderId::kProxyAuthenticate:
    case HeaderId::kProxyAuthorization:
    case HeaderId::kTe:
    case HeaderId::kTrailer:
    case HeaderId::kTransferEncoding:
    case HeaderId::kUpgrade:
      return true;
    default:
      return false;
  }
}

size_t FieldBytes(const HeaderList& headers) {
  size_t bytes = 0;
  for (const HeaderField& field : headers) bytes += field.name.size() + field.value.size() + 4;
  return bytes;
}

// `except`: not written either; kCount: none.
absl::Status PutFields(const HeaderList& headers, HeaderId except, HeadWriter& out) {
  for (const HeaderField& field : headers) {
    if (field.name.empty() || field.id == except || IsOurs(field.id)) continue;
    if ((field.id == HeaderId::kOther && !IsToken(field.name)) || !IsFieldValue(field.value)) return BadField(field);
    out.PutField(field.name, field.value);
  }
  return absl::OkStatus();
}

void PutLength(uint64_t length, HeadWriter& out) { out.Put("Content-Length: ").PutNumber(length).Put("\r\n"); }

bool IsDigits(std::string_view text) {
  return !text.empty() && text.size() <= 18 && text.find_first_not_of("0123456789") == std::string_view::npos;
}

}  // namespace

absl::StatusOr<base::Buffer> WriteRequestHead(const RequestHead& head, base::BufferPool& pool) {
  if (!IsToken(head.method_text)) return absl::InvalidArgumentError("the method is no token");
  if (head.path.empty() || !IsLinePart(head.path) || !IsLinePart(head.query)) {
    return absl::InvalidArgumentError("the target has characters that cannot be sent");
  }
  if (!IsLinePart(head.authority)) return absl::InvalidArgumentError("the authority has characters that cannot be sent");
  base::Buffer buffer = pool.Allocate(kFixedBytes + head.method_text.size() + head.path.size() + head.query.size() +
                                      head.authority.size() + FieldBytes(head.headers));
  HeadWriter out(buffer.data());
  out.Put(head.method_text).Put(' ').Put(head.path);
  if (head.has_query) out.Put('?').Put(head.query);
  out.Put(" HTTP/1.1\r\n");
  out.PutField("Host", head.authority);
  if (const absl::Status status = PutFields(head.headers, HeaderId::kHost, out); !status.ok()) return status;
  switch (head.body) {
    case BodyKind::kNone:
      // RFC 9110 section 8.6: these methods promise content.
      if (head.method == Method::kPost || head.method == Method::kPut || head.method == Method::kPatch) {
        PutLength(0, out);
      }
      break;
    case BodyKind::kLength:
      PutLength(head.content_length, out);
      break;
    case BodyKind::kChunked:
    case BodyKind::kUntilClose:
      out.Put("Transfer-Encoding: chunked\r\n");
      break;
  }
  out.Put("\r\n");
  buffer.set_size(out.size());
  return buffer;
}

BodyKind ResponseBodyFraming(const ResponseHead& head, Version version, Method request_method) {
  if (head.status < 200 || head.status == 204 || head.status == 304 || request_method == Method::kHead) {
    return BodyKind::kNone;
  }
  if (head.body == BodyKind::kNone || head.body == BodyKind::kLength) return head.body;
  return version == Version::kHttp10 ? BodyKind::kUntilClose : BodyKind::kChunked;
}

absl::StatusOr<base::Buffer> WriteResponseHead(const ResponseHead& head, const ResponseWriteOptions& options,
                                               base::BufferPool& pool) {
  if (head.status < 100 || head.status > 999) {
    return absl::InvalidArgumentError(absl::StrCat("status ", head.status, " is not in 100..999"));
  }
  const std::string_view reason = head.reason.empty() ? ReasonPhrase(head.status) : head.reason;
  if (!IsFieldValue(reason)) return absl::InvalidArgumentError("the reason phrase cannot be sent");
  base::Buffer buffer =
      pool.Allocate(kFixedBytes + reason.size() + options.date.size() + FieldBytes(head.headers));
  HeadWriter out(buffer.data());
  out.Put("HTTP/1.1 ").PutNumber(static_cast<uint64_t>(head.status)).Put(' ').Put(reason).Put("\r\n");
  if (const absl::Status status = PutFields(head.headers, HeaderId::kCount, out); !status.ok()) return status;
  if (!options.date.empty() && head.status >= 200 && head.headers.Find(HeaderId::kDate) == nullptr) {
    out.PutField("Date", options.date);
  }
  const BodyKind framing = ResponseBodyFraming(head, options.version, options.request_method);
  const bool bodyless = head.status == 304 || (options.request_method == Method::kHead && head.status >= 200 &&
                                               head.status != 204);
  if (framing == BodyKind::kChunked) {
    out.Put("Transfer-Encoding: chunked\r\n");
  } else if (framing == BodyKind::kLength || (bodyless && head.body == BodyKind::kLength)) {
    PutLength(head.content_length, out);
  } else if (bodyless) {
    // What GET would have got, if the upstream said so.
    const HeaderField* length = head.headers.Find(HeaderId::kContentLength);
    if (length != nullptr && IsDigits(length->value)) out.PutField("Content-Length", length->value);
  } else if (framing == BodyKind::kNone && head.status >= 200 && head.status != 204) {
    PutLength(0, out);
  }
  if (head.status >= 200) {
    if (!options.keep_alive || framing == BodyKind::kUntilClose) {
      out.Put("Connection: close\r\n");
    } else if (options.version == Version::kHttp10) {
      out.Put("Connection: keep-alive\r\n");
    }
  }
  out.Put("\r\n");
  buffer.set_size(out.size());
  return buffer;
}

std::string_view WriteChunkHead(uint64_t size, char (&out)[kChunkHeadBytes]) {
  char* end = std::to_chars(out, out + kChunkHeadBytes - 2, size, 16).ptr;
  *end++ = '\r';
  *end++ = '\n';
  return {out, static_cast<size_t>(end - out)};
}

std::string_view DateCache::Get(base::UnixNanos now) {
  const int64_t second = now / base::kNanosPerSecond;
  if (second == second_) return {text_, sizeof(text_)};
  second_ = second;
  static constexpr char kDays[] = "ThuFriSatSunMonTueWed";  // 1970-01-01 was a Thursday.
  static constexpr char kMonths[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
  const int64_t day = second / 86400;
  const auto rest = static_cast<int>(second % 86400);
  // Civil date from days, counted in years that begin in March.
  const int64_t shifted = day + 719468;
  const int64_t era = shifted / 146097;
  const int64_t day_of_era = shifted % 146097;
  const int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  const int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const int64_t shifted_month = (5 * day_of_year + 2) / 153;
  const auto day_of_month = static_cast<int>(day_of_year - (153 * shifted_month + 2) / 5 + 1);
  const auto month = static_cast<int>(shifted_month < 10 ? shifted_month + 2 : shifted_month - 10);  // From 0.
  const auto year = static_cast<int>(year_of_era + era * 400 + (month <= 1 ? 1 : 0));
  const auto two = [](char* out, int value) {
    out[0] = static_cast<char>('0' + value / 10 % 10);
    out[1] = static_cast<char>('0' + value % 10);
  };
  std::memcpy(text_, "xxx, dd mmm yyyy hh:mm:ss GMT", sizeof(text_));
  std::memcpy(text_, kDays + day % 7 * 3, 3);
  two(text_ + 5, day_of_month);
  std::memcpy(text_ + 8, kMonths + month * 3, 3);
  two(text_ + 12, year / 100);
  two(text_ + 14, year % 100);
  two(text_ + 17, rest / 3600);
  two(text_ + 20, rest / 60 % 60);
  two(text_ + 23, rest % 60);
  return {text_, sizeof(text_)};
}

}  // namespace portico::http
