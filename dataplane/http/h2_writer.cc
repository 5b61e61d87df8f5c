#include "dataplane/http/h2_writer.h"

#include <charconv>
#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "dataplane/http/characters.h"
#include "dataplane/http/h1_fields.h"
#include "dataplane/http/h1_parser.h"
#include "dataplane/http/h1_writer.h"

namespace portico::http {
namespace {

// Pseudo-header fields, Content-Length and Date.
constexpr size_t kOwnFields = 8;

// TE and Trailer are of use to peers that know trailers.
constexpr HeaderIds kNeverIds =
    (internal::kHopByHopIds & ~(IdBit(HeaderId::kTe) | IdBit(HeaderId::kTrailer))) |
    IdBit(HeaderId::kContentLength);

constexpr HeaderIds kNeverInRequestIds =
    kNeverIds | IdBit(HeaderId::kHost) | IdBit(HeaderId::kExpect);

constexpr HeaderIds kNeverInTrailersIds =
    kNeverInRequestIds | IdBit(HeaderId::kTe) | IdBit(HeaderId::kTrailer);

// Differ from message to message: in HPACK's table they would only drive out the others.
constexpr HeaderIds kUniqueIds = IdBit(HeaderId::kXRequestId) | IdBit(HeaderId::kTraceparent);

// nghttp2 only reads.
uint8_t* Bytes(std::string_view text) {
  return reinterpret_cast<uint8_t*>(const_cast<char*>(text.data()));
}

class BlockWriter {
 public:
  BlockWriter(const HeaderList& headers, base::Arena& arena) : arena_(arena) {
    block_.fields = static_cast<nghttp2_nv*>(
        arena.Allocate(sizeof(nghttp2_nv) * (headers.size() + kOwnFields), alignof(nghttp2_nv)));
  }

  // Both as they are; `name` is a literal.
  void Put(std::string_view name, std::string_view value) {
    Put(name, value, NGHTTP2_NV_FLAG_NO_COPY_NAME);
  }
  void PutNumber(std::string_view name, uint64_t number) {
    char* const text = static_cast<char*>(arena_.Allocate(20, 1));
    Put(name, {text, static_cast<size_t>(std::to_chars(text, text + 20, number).ptr - text)});
  }
  // Those of `headers` but `never`.
  absl::Status PutAll(const HeaderList& headers, HeaderIds never) {
    for (const HeaderField& field : headers) {
      if (field.name.empty() || (IdBit(field.id) & never) != 0) continue;
      if (!PutField(field)) {
        return absl::InvalidArgumentError(
            absl::StrCat("header field \"", std::string(field.name.substr(0, 64)),
                         "\" has a name or a value that cannot be sent"));
      }
    }
    return absl::OkStatus();
  }
  const H2Block& block() const { return block_; }

 private:
  void Put(std::string_view name, std::string_view value, uint8_t flags) {
    block_.fields[block_.count++] =
        nghttp2_nv{Bytes(name), Bytes(value), name.size(), value.size(), flags};
  }
  bool PutField(const HeaderField& field) {
    if (field.id == HeaderId::kTe && !EqualsIgnoreCase(field.value, "trailers")) return true;
    std::string_view value = field.value;
    while (!value.empty() && (value.front() == ' ' || value.front() == '\t'))
      value.remove_prefix(1);
    while (!value.empty() && (value.back() == ' ' || value.back() == '\t')) value.remove_suffix(1);
    if (!IsFieldValue(value)) return false;
    if (field.id != HeaderId::kOther) {
      const bool unique = (IdBit(field.id) & kUniqueIds) != 0;
      Put(HeaderName(field.id), value,
          static_cast<uint8_t>(NGHTTP2_NV_FLAG_NO_COPY_NAME |
                               (unique ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE)));
      return true;
    }
    // nghttp2 brings the copy that it makes of a name into lower case.
    if (!IsToken(field.name)) return false;
    Put(field.name, value, NGHTTP2_NV_FLAG_NONE);
    return true;
  }

  base::Arena& arena_;
  H2Block block_;
};

// The status as three digits.
std::string_view StatusText(int status, base::Arena& arena) {
  if (status == 200) return "200";
  char* const text = static_cast<char*>(arena.Allocate(3, 1));
  text[0] = static_cast<char>('0' + status / 100);
  text[1] = static_cast<char>('0' + status / 10 % 10);
  text[2] = static_cast<char>('0' + status % 10);
  return {text, 3};
}

// Of the handshake of RFC 6455 that RFC 8441 does without.
bool IsHandshakeField(std::string_view name) {
  return EqualsIgnoreCase(name, "sec-websocket-key") ||
         EqualsIgnoreCase(name, "sec-websocket-accept");
}

void DropHandshake(H2Block& block) {
  size_t kept = 0;
  for (size_t i = 0; i < block.count; ++i) {
    const nghttp2_nv& field = block.fields[i];
    if (IsHandshakeField({reinterpret_cast<const char*>(field.name), field.namelen})) continue;
    block.fields[kept++] = field;
  }
  block.count = kept;
}

// What of a length a response without a body may say: see WriteResponseHead().
void PutResponseLength(const ResponseHead& head, Method request_method, BlockWriter& out) {
  if (head.status < 200 || head.status == 204) return;
  if (head.body == BodyKind::kLength) {
    return out.PutNumber("content-length", head.content_length);
  }
  if (head.body != BodyKind::kNone) return;
  if (head.status != 304 && request_method != Method::kHead) {
    return out.Put("content-length", "0");
  }
  const HeaderField* said = head.headers.Find(HeaderId::kContentLength);
  uint64_t length = 0;
  if (said != nullptr && internal::ParseLength(said->value, length)) {
    out.Put("content-length", said->value);
  }
}

}  // namespace

absl::StatusOr<H2Block> RequestBlock(const RequestHead& head, bool secure, base::Arena& arena) {
  if (!IsToken(head.method_text)) return absl::InvalidArgumentError("the method cannot be sent");
  BlockWriter out(head.headers, arena);
  const bool connect = !head.upgrade.empty();
  out.Put(":method", connect ? "CONNECT" : head.method_text);
  if (connect) out.Put(":protocol", head.upgrade);
  out.Put(":scheme", secure ? "https" : "http");
  if (!IsFieldValue(head.authority) || !IsFieldValue(head.path) || !IsFieldValue(head.query)) {
    return absl::InvalidArgumentError("the authority or the target cannot be sent");
  }
  if (!head.authority.empty()) out.Put(":authority", head.authority);
  out.Put(":path", head.has_query ? arena.Concat({head.path, "?", head.query}) : head.path);
  if (absl::Status status = out.PutAll(head.headers, kNeverInRequestIds); !status.ok()) {
    return status;
  }
  if (head.body == BodyKind::kLength) out.PutNumber("content-length", head.content_length);
  H2Block block = out.block();
  if (connect) DropHandshake(block);
  return block;
}

absl::StatusOr<H2Block> ResponseBlock(const ResponseHead& head, Method request_method, bool tunnel,
                                      std::string_view date, base::Arena& arena) {
  if (head.status < 100 || head.status > 999) {
    return absl::InvalidArgumentError(absl::StrCat("status ", head.status, " is not in 100..999"));
  }
  BlockWriter out(head.headers, arena);
  out.Put(":status", tunnel ? "200" : StatusText(head.status, arena));
  if (absl::Status status = out.PutAll(head.headers, kNeverIds | IdBit(HeaderId::kTe));
      !status.ok()) {
    return status;
  }
  if (!date.empty() && (head.status >= 200 || tunnel) &&
      head.headers.Find(HeaderId::kDate) == nullptr) {
    out.Put("date", date);
  }
  if (!tunnel) PutResponseLength(head, request_method, out);
  H2Block block = out.block();
  if (tunnel) DropHandshake(block);
  return block;
}

absl::StatusOr<H2Block> TrailerBlock(const HeaderList& trailers, base::Arena& arena) {
  BlockWriter out(trailers, arena);
  if (absl::Status status = out.PutAll(trailers, kNeverInTrailersIds); !status.ok()) return status;
  return out.block();
}

}  // namespace portico::http
