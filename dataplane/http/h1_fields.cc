#include "dataplane/http/h1_fields.h"

#include "dataplane/http/characters.h"
#include "dataplane/http/h1_parser.h"
#include "dataplane/http/scan.h"
#include "llhttp.h"

namespace portico::http {
namespace {

struct FieldContext {
  FieldContext(HeaderList& l, uint32_t max) : list(&l), max_count(max) {}
  HeaderList* list;
  uint32_t max_count;
  uint32_t count = 0;
  std::string_view name;
  std::string_view value;
  std::string_view error;
};

FieldContext& ContextOf(llhttp_t* parser) { return *static_cast<FieldContext*>(parser->data); }

// llhttp may hand out a span in pieces; in one contiguous input they touch.
void Append(std::string_view& span, const char* at, size_t length) {
  if (span.data() != nullptr && span.data() + span.size() == at) {
    span = {span.data(), span.size() + length};
  } else if (length > 0 || span.data() == nullptr) {
    span = {at, length};
  }
}

int OnName(llhttp_t* parser, const char* at, size_t length) {
  Append(ContextOf(parser).name, at, length);
  return 0;
}

int OnValue(llhttp_t* parser, const char* at, size_t length) {
  Append(ContextOf(parser).value, at, length);
  return 0;
}

int OnValueComplete(llhttp_t* parser) {
  FieldContext& context = ContextOf(parser);
  if (++context.count > context.max_count) {
    context.error = "too_many_headers";
    return -1;
  }
  std::string_view value = context.value;
  while (!value.empty() && (value.back() == ' ' || value.back() == '\t')) value.remove_suffix(1);
  // llhttp's loose mode lets spaces into names. Values were looked at by the scanner.
  const HeaderId id = LookUpHeader(context.name);
  if (id == HeaderId::kOther && !IsToken(context.name)) {
    context.error = "invalid_header";
    return -1;
  }
  context.list->Add(HeaderField{context.name, value, id});
  context.name = context.value = {};
  return 0;
}

int OnHeadersComplete(llhttp_t*) { return HPE_PAUSED; }

const llhttp_settings_t* Settings() {
  static const llhttp_settings_t settings = [] {
    llhttp_settings_t s;
    llhttp_settings_init(&s);
    s.on_header_field = OnName;
    s.on_header_value = OnValue;
    s.on_header_value_complete = OnValueComplete;
    s.on_headers_complete = OnHeadersComplete;
    return s;
  }();
  return &settings;
}

// A parser that has read a request line. First lines are parsed by us, because
// llhttp knows only some methods and lets through the protocols RTSP and ICE; from
// there on requests and responses look the same.
const llhttp_t& AfterFirstLine() {
  static const llhttp_t parser = [] {
    llhttp_t p;
    llhttp_init(&p, HTTP_REQUEST, Settings());
    static constexpr std::string_view kLine = "GET / HTTP/1.1\r\n";
    llhttp_execute(&p, kLine.data(), kLine.size());
    return p;
  }();
  return parser;
}

std::string_view ReasonOf(int error) {
  switch (error) {
    case HPE_UNEXPECTED_CONTENT_LENGTH:
      return "conflicting_length";
    case HPE_INVALID_CONTENT_LENGTH:
      return "invalid_content_length";
    case HPE_INVALID_TRANSFER_ENCODING:
      return "invalid_transfer_encoding";
    default:
      return "invalid_header";
  }
}

}  // namespace

bool IsToken(std::string_view text) {
  for (const char c : text) {
    if (!Is(c, kTokenCharacter)) return false;
  }
  return !text.empty();
}

bool IsFieldValue(std::string_view text) { return internal::AllValueCharacters(text.data(), text.size()); }

void RemoveHopByHopFields(HeaderList& headers) {
  if (headers.Among(internal::kHopByHopIds) == 0) return;
  for (HeaderField& field : headers) {
    if ((IdBit(field.id) & internal::kHopByHopIds) == 0) continue;
    // The list of most says only "keep-alive", which goes anyway.
    if (field.id == HeaderId::kConnection && field.value != "keep-alive") {
      internal::ForEachElement(field.value, [&headers](std::string_view name) {
        if (LookUpHeader(name) == HeaderId::kOther) headers.Remove(name);
      });
    }
    field.name = {};
  }
}

namespace internal {

std::string_view ParseFields(std::string_view fields, uint32_t max_count, HeaderList& list) {
  FieldContext context(list, max_count);
  llhttp_t parser = AfterFirstLine();
  parser.data = &context;
  const int error = llhttp_execute(&parser, fields.data(), fields.size());
  if (!context.error.empty()) return context.error;
  if (error != HPE_PAUSED) return ReasonOf(error);
  // The scanner found the head's end; llhttp must have found the same one.
  if (llhttp_get_error_pos(&parser) != fields.data() + fields.size()) return "invalid_header";
  return {};
}

bool ParseLength(std::string_view text, uint64_t& length) {
  if (text.empty() || text.size() > 18) return false;
  length = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
    length = length * 10 + static_cast<uint64_t>(c - '0');
  }
  return true;
}

void ReadConnection(std::string_view value, Framing& framing) {
  if (value == "keep-alive") {
    framing.keep_alive = true;
    return;
  }
  ForEachElement(value, [&framing](std::string_view option) {
    if (EqualsIgnoreCase(option, "close")) framing.close = true;
    if (EqualsIgnoreCase(option, "keep-alive")) framing.keep_alive = true;
    if (EqualsIgnoreCase(option, "upgrade")) framing.upgrade = true;
  });
}

bool SetResponseBody(const Framing& framing, Method request_method, ResponseHead& head) {
  if (head.status < 200 || head.status == 204 || head.status == 304 || request_method == Method::kHead) {
    head.body = BodyKind::kNone;
  } else if (framing.chunked) {
    head.body = BodyKind::kChunked;
  } else if (framing.has_length) {
    head.body = BodyKind::kLength;
    head.content_length = framing.length;
  } else {
    head.body = BodyKind::kUntilClose;
  }
  if (head.body == BodyKind::kUntilClose) return false;
  return head.version == Version::kHttp10 ? framing.keep_alive && !framing.close : !framing.close;
}

Framing ReadFraming(const HeaderList& list, Version version) {
  Framing framing;
  bool has_encoding = false;
  for (const HeaderField& field : list) {
    switch (field.id) {
      case HeaderId::kContentLength:
        if (framing.has_length) framing.error = "conflicting_length";
        framing.has_length = true;
        if (framing.error.empty() && !ParseLength(field.value, framing.length)) {
          framing.error = "invalid_content_length";
        }
        break;
      case HeaderId::kTransferEncoding:
        // Other codings than "chunked" alone are for nobody that we know.
        if (has_encoding || !EqualsIgnoreCase(field.value, "chunked") || version == Version::kHttp10) {
          if (framing.error.empty()) framing.error = "invalid_transfer_encoding";
        }
        has_encoding = framing.chunked = true;
        break;
      case HeaderId::kConnection:
        ReadConnection(field.value, framing);
        break;
      case HeaderId::kHost:
        if (framing.host != nullptr) framing.several_hosts = true;
        framing.host = &field;
        break;
      case HeaderId::kExpect:
        framing.expect = &field;
        break;
      default:
        break;
    }
  }
  if (framing.error.empty() && framing.has_length && has_encoding) framing.error = "conflicting_length";
  return framing;
}

std::string_view UpgradeOf(const RequestHead& head, const Framing& framing) {
  constexpr std::string_view kWebSocket = "websocket";
  const bool content = head.body == BodyKind::kChunked || head.content_length > 0;
  if (!framing.upgrade || head.method != Method::kGet || head.version != Version::kHttp11 ||
      content || head.headers.Count(HeaderId::kUpgrade) != 1) {
    return {};
  }
  const HeaderField* field = head.headers.Find(HeaderId::kUpgrade);
  return EqualsIgnoreCase(field->value, kWebSocket) ? kWebSocket : std::string_view();
}

std::string_view ParseVersion(std::string_view text, std::string_view malformed, Version& version) {
  if (text == "HTTP/1.1") {
    version = Version::kHttp11;
    return {};
  }
  if (text == "HTTP/1.0") {
    version = Version::kHttp10;
    return {};
  }
  const bool well_formed = text.size() == 8 && text.substr(0, 5) == "HTTP/" && text[5] >= '0' && text[5] <= '9' &&
                           text[6] == '.' && text[7] >= '0' && text[7] <= '9';
  return well_formed ? "unsupported_version" : malformed;
}

}  // namespace internal
}  // namespace portico::http
