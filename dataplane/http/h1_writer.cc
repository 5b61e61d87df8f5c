#include "dataplane/http/h1_writer.h"

#include <charconv>
#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"
#include "dataplane/base/check.h"
#include "dataplane/http/characters.h"
#include "dataplane/http/h1_fields.h"
#include "dataplane/http/h1_parser.h"
#include "dataplane/http/scan.h"

namespace portico::http {
namespace {

// Enough for what is written besides the fields: versions, lengths, framing.
constexpr size_t kFixedBytes = 256 + internal::kBlockBytes;

// Copies a text that is short most of the time.
inline void CopyText(char* out, const char* in, size_t size) {
  const auto copy_two = [out, in, size](auto word) {
    auto last = word;
    std::memcpy(&word, in, sizeof(word));
    std::memcpy(&last, in + size - sizeof(last), sizeof(last));
    std::memcpy(out, &word, sizeof(word));
    std::memcpy(out + size - sizeof(last), &last, sizeof(last));
  };
  struct Sixteen {
    uint64_t words[2];
  };
  if (size > 32) {
    std::memcpy(out, in, size);
  } else if (size >= 16) {
    copy_two(Sixteen{});
  } else if (size >= 8) {
    copy_two(uint64_t{});
  } else if (size >= 4) {
    copy_two(uint32_t{});
  } else if (size > 0) {
    out[0] = in[0];
    out[size / 2] = in[size / 2];
    out[size - 1] = in[size - 1];
  }
}

// Appends to a buffer and remembers when there was no room.
class HeadWriter {
 public:
  explicit HeadWriter(base::Buffer& buffer)
      : begin_(buffer.data()), out_(begin_), limit_(begin_ + buffer.capacity()) {}

  HeadWriter& Put(std::string_view text) {
    if (!Room(text.size())) return *this;
    CopyText(out_, text.data(), text.size());
    out_ += text.size();
    return *this;
  }
  template <size_t kSize>
  HeadWriter& Put(const char (&text)[kSize]) {
    if (!Room(kSize - 1)) return *this;
    std::memcpy(out_, text, kSize - 1);
    out_ += kSize - 1;
    return *this;
  }
  HeadWriter& PutNumber(uint64_t number) {
    if (Room(20)) out_ = std::to_chars(out_, out_ + 20, number).ptr;
    return *this;
  }
  HeadWriter& PutStatus(int status) {
    const char digits[4] = {static_cast<char>('0' + status / 100), static_cast<char>('0' + status / 10 % 10),
                            static_cast<char>('0' + status % 10), '\0'};
    return Put(digits);
  }
  // False: the value cannot be sent. It is looked at where it was written, because there
  // are bytes behind it that may be looked at, too.
  bool PutField(std::string_view name, std::string_view value) {
    if (!Room(name.size() + value.size() + 4 + internal::kBlockBytes)) return true;
    CopyText(out_, name.data(), name.size());
    out_ += name.size();
    std::memcpy(out_, ": ", 2);
    out_ += 2;
    CopyText(out_, value.data(), value.size());
    if (!internal::BeginsWithValue(out_, value.size())) return false;
    out_ += value.size();
    std::memcpy(out_, "\r\n", 2);
    out_ += 2;
    return true;
  }
  size_t size() const { return static_cast<size_t>(out_ - begin_); }
  bool overflowed() const { return overflowed_; }

 private:
  // Whether that many bytes fit.
  bool Room(size_t size) {
    if (size <= static_cast<size_t>(limit_ - out_)) [[likely]] return true;
    overflowed_ = true;
    limit_ = out_;
    return false;
  }

  char* begin_;
  char* out_;
  char* limit_;
  bool overflowed_ = false;
};

absl::Status BadField(const HeaderField& field) {
  return absl::InvalidArgumentError(
      absl::StrCat("header field \"", std::string(field.name.substr(0, 64)), "\" has a name or a value that cannot be sent"));
}

// Visible ASCII or above, no space: part of a first line.
bool IsLinePart(std::string_view text) { return internal::AllVisible(text.data(), text.size()); }

// Written by us from what the framing needs, or never.
constexpr HeaderIds kOurIds =
    internal::kHopByHopIds | IdBit(HeaderId::kContentLength) | IdBit(HeaderId::kExpect);

size_t FieldBytes(const HeaderList& headers) {
  size_t bytes = 0;
  for (const HeaderField& field : headers) bytes += field.name.size() + field.value.size() + 4;
  return bytes;
}

// Lines that lie one behind the other are copied as one.
class Run {
 public:
  explicit Run(HeadWriter& out) : out_(out) {}
  void Add(const char* begin, size_t size) {
    if (begin != end_) {
      Flush();
      begin_ = begin;
    }
    end_ = begin + size;
  }
  void Flush() {
    if (begin_ != nullptr) out_.Put(std::string_view(begin_, static_cast<size_t>(end_ - begin_)));
    begin_ = end_ = nullptr;
  }

 private:
  HeadWriter& out_;
  const char* begin_ = nullptr;
  const char* end_ = nullptr;
};

// Of the fields that are ours, those that stay where they are, because they say already
// what we would write.
struct Kept {
  const HeaderField* host = nullptr;
  // Where null, none may stay.
  const uint64_t* length = nullptr;
  bool length_written = false;
};

// Whether `field` is what PutLength(length) would write.
bool SaysLength(const HeaderField& field, uint64_t length) {
  uint64_t said = 0;
  return field.IsWholeLine() && internal::ParseLength(field.value, said) && said == length &&
         (field.value[0] != '0' || field.value.size() == 1);
}

bool Keep(const HeaderField& field, Kept& kept) {
  if (field.id == HeaderId::kHost) return &field == kept.host;
  if (field.id != HeaderId::kContentLength || kept.length == nullptr || kept.length_written) return false;
  return kept.length_written = SaysLength(field, *kept.length);
}

// Writes the fields but for those of `ours` that are not kept.
// `first_line`: nothing, or a line to begin with.
absl::Status PutFields(std::string_view first_line, const HeaderList& headers, HeaderIds ours,
                       Kept& kept, HeadWriter& out) {
  Run run(out);
  if (!first_line.empty()) run.Add(first_line.data(), first_line.size());
  for (const HeaderField& field : headers) {
    if (field.name.empty() || ((IdBit(field.id) & ours) != 0 && !Keep(field, kept))) continue;
    if (field.IsWholeLine()) {
      run.Add(field.name.data(), field.line);
      continue;
    }
    run.Flush();
    if ((field.id == HeaderId::kOther && !IsToken(field.name)) ||
        !out.PutField(field.name, field.value)) {
      return BadField(field);
    }
  }
  run.Flush();
  return absl::OkStatus();
}

void PutLength(uint64_t length, HeadWriter& out) { out.Put("Content-Length: ").PutNumber(length).Put("\r\n"); }

// RFC 9110 section 7.8.
absl::Status PutUpgrade(std::string_view protocol, HeadWriter& out) {
  if (!IsToken(protocol))
    return absl::InvalidArgumentError("the protocol to upgrade to is no token");
  out.Put("Connection: Upgrade\r\nUpgrade: ").Put(protocol).Put("\r\n");
  return absl::OkStatus();
}

bool IsDigits(std::string_view text) {
  return !text.empty() && text.size() <= 18 && text.find_first_not_of("0123456789") == std::string_view::npos;
}

// The Host field at the beginning of the list, if it is what `authority` asks for.
const HeaderField* HostInPlace(const HeaderList& headers, std::string_view authority) {
  if (headers.size() == 0) return nullptr;
  const HeaderField* first = headers.begin();
  return first->id == HeaderId::kHost && first->IsWholeLine() && first->value == authority ? first : nullptr;
}

// Whether head.line is what the members say.
bool IsWholeLine(const RequestHead& head) {
  const std::string_view line = head.line, path = head.path, query = head.query;
  const size_t target = path.size() + (head.has_query ? 1 + query.size() : 0);
  return !line.empty() && line.size() == head.method_text.size() + target + 12 &&
         head.method_text.data() == line.data() &&
         path.data() == line.data() + head.method_text.size() + 1 &&
         (!head.has_query || query.data() == path.data() + path.size() + 1);
}

bool IsWholeLine(const ResponseHead& head) {
  const std::string_view line = head.line;
  return !line.empty() && head.reason.data() == line.data() + 13 &&
         line.size() == head.reason.size() + 15 &&
         head.status == (line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0');
}

absl::Status PutRequest(const RequestHead& head, bool whole_line, HeadWriter& out) {
  Kept kept;
  kept.host = HostInPlace(head.headers, head.authority);
  std::string_view line;
  if (whole_line && kept.host != nullptr) {
    line = head.line;
  } else {
    out.Put(head.method_text).Put(" ").Put(head.path);
    if (head.has_query) out.Put("?").Put(head.query);
    out.Put(" HTTP/1.1\r\n");
    if (kept.host == nullptr) out.PutField("Host", head.authority);
  }
  if (head.body == BodyKind::kLength) kept.length = &head.content_length;
  absl::Status status = PutFields(line, head.headers, kOurIds | IdBit(HeaderId::kHost), kept, out);
  if (!status.ok()) return status;
  if (!head.upgrade.empty()) [[unlikely]] {
    if (status = PutUpgrade(head.upgrade, out); !status.ok()) return status;
  }
  switch (head.body) {
    case BodyKind::kNone:
      // RFC 9110 section 8.6: these methods promise content.
      if (head.method == Method::kPost || head.method == Method::kPut || head.method == Method::kPatch) {
        PutLength(0, out);
      }
      break;
    case BodyKind::kLength:
      if (!kept.length_written) PutLength(head.content_length, out);
      break;
    case BodyKind::kChunked:
    case BodyKind::kUntilClose:
      out.Put("Transfer-Encoding: chunked\r\n");
      break;
  }
  out.Put("\r\n");
  return absl::OkStatus();
}

absl::Status PutResponse(const ResponseHead& head, bool whole_line, std::string_view reason,
                         const ResponseWriteOptions& options, HeadWriter& out) {
  std::string_view line;
  if (whole_line) {
    line = head.line;
  } else {
    out.Put("HTTP/1.1 ").PutStatus(head.status).Put(" ").Put(reason).Put("\r\n");
  }
  const BodyKind framing = ResponseBodyFraming(head, options.version, options.request_method);
  Kept kept;
  if (framing == BodyKind::kLength) kept.length = &head.content_length;
  absl::Status status = PutFields(line, head.headers, kOurIds, kept, out);
  if (!status.ok()) return status;
  if (!options.date.empty() && head.status >= 200 && head.headers.Find(HeaderId::kDate) == nullptr) {
    out.PutField("Date", options.date);
  }
  const bool bodyless = head.status == 304 || (options.request_method == Method::kHead && head.status >= 200 &&
                                               head.status != 204);
  if (framing == BodyKind::kChunked) {
    out.Put("Transfer-Encoding: chunked\r\n");
  } else if (framing == BodyKind::kLength || (bodyless && head.body == BodyKind::kLength)) {
    if (!kept.length_written) PutLength(head.content_length, out);
  } else if (bodyless) {
    // What GET would have got, if the upstream said so.
    const HeaderField* said = head.headers.Find(HeaderId::kContentLength);
    if (said != nullptr && IsDigits(said->value)) out.PutField("Content-Length", said->value);
  } else if (framing == BodyKind::kNone && head.status >= 200 && head.status != 204) {
    PutLength(0, out);
  }
  if (head.status >= 200) {
    if (!options.keep_alive || framing == BodyKind::kUntilClose) {
      out.Put("Connection: close\r\n");
    } else if (options.version == Version::kHttp10) {
      out.Put("Connection: keep-alive\r\n");
    }
  } else if (!options.upgrade.empty()) {
    if (status = PutUpgrade(options.upgrade, out); !status.ok()) return status;
  }
  out.Put("\r\n");
  return absl::OkStatus();
}

// Has `put` write into a buffer: one of the usual size, or, where that is too small, one
// of `Bytes()`.
template <typename Put, typename Bytes>
absl::StatusOr<base::Buffer> WriteHead(base::BufferPool& pool, Put&& put, Bytes&& bytes) {
  base::Buffer buffer = pool.Allocate();
  HeadWriter out(buffer);
  absl::Status status = put(out);
  if (!status.ok()) return status;
  if (!out.overflowed()) [[likely]] {
    buffer.set_size(out.size());
    return buffer;
  }
  buffer = pool.Allocate(bytes());
  HeadWriter again(buffer);
  status = put(again);
  if (!status.ok()) return status;  // Of what came after the overflow.
  PORTICO_CHECK(!again.overflowed());
  buffer.set_size(again.size());
  return buffer;
}

}  // namespace

absl::StatusOr<base::Buffer> WriteRequestHead(const RequestHead& head, base::BufferPool& pool) {
  const bool whole_line = IsWholeLine(head);
  if (!whole_line) {
    if (!IsToken(head.method_text)) return absl::InvalidArgumentError("the method is no token");
    if (head.path.empty() || !IsLinePart(head.path) || !IsLinePart(head.query)) {
      return absl::InvalidArgumentError("the target has characters that cannot be sent");
    }
  }
  if (!IsLinePart(head.authority)) return absl::InvalidArgumentError("the authority has characters that cannot be sent");
  return WriteHead(
      pool, [&](HeadWriter& out) { return PutRequest(head, whole_line, out); },
      [&] {
        return kFixedBytes + head.upgrade.size() + head.method_text.size() + head.path.size() +
               head.query.size() + head.authority.size() + FieldBytes(head.headers);
      });
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
  const bool whole_line = IsWholeLine(head);
  std::string_view reason = head.reason;
  if (!whole_line) {
    if (head.status < 100 || head.status > 999) {
      return absl::InvalidArgumentError(
          absl::StrCat("status ", head.status, " is not in 100..999"));
    }
    if (reason.empty()) reason = ReasonPhrase(head.status);
    if (!IsFieldValue(reason))
      return absl::InvalidArgumentError("the reason phrase cannot be sent");
  }
  return WriteHead(
      pool, [&](HeadWriter& out) { return PutResponse(head, whole_line, reason, options, out); },
      [&] {
        return kFixedBytes + reason.size() + options.date.size() + options.upgrade.size() +
               FieldBytes(head.headers);
      });
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
