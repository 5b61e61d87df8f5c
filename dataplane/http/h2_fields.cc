#include "dataplane/http/h2_fields.h"

#include <algorithm>
#include <cstring>

#include "dataplane/http/characters.h"
#include "dataplane/http/h1_fields.h"
#include "dataplane/http/header_names.h"
#include "dataplane/http/path.h"
#include "dataplane/http/trailers.h"

namespace portico::http {
namespace {

// RFC 9113 section 6.5.2.
constexpr uint64_t kFieldOverhead = 32;

// RFC 9113 section 8.2.2.
constexpr HeaderIds kConnectionIds =
    IdBit(HeaderId::kConnection) | IdBit(HeaderId::kProxyConnection) | IdBit(HeaderId::kKeepAlive) |
    IdBit(HeaderId::kTransferEncoding) | IdBit(HeaderId::kUpgrade);

// Between two neighbours only, as RemoveHopByHopFields() has it.
constexpr HeaderIds kDroppedIds = internal::kHopByHopIds & ~kConnectionIds;

H2HeadResult Malformed(std::string_view reason) {
  return {H2HeadResult::Kind::kMalformed, 400, reason};
}

H2HeadResult Refused(int status, std::string_view reason) {
  return {H2HeadResult::Kind::kRefused, status, reason};
}

// A token in lower case.
bool IsFieldName(std::string_view name) {
  for (const char c : name) {
    if (!Is(c, kTokenCharacter) || (c >= 'A' && c <= 'Z')) return false;
  }
  return !name.empty();
}

// RFC 9113 section 8.2.1: nor space at either end.
bool IsH2Value(std::string_view value) {
  if (value.empty()) return true;
  const auto is_space = [](char c) { return c == ' ' || c == '\t'; };
  return !is_space(value.front()) && !is_space(value.back()) && IsFieldValue(value);
}

std::string_view CopyInto(base::Arena& arena, std::string_view text) {
  if (text.empty()) return {};
  char* const copy = static_cast<char*>(arena.Allocate(text.size(), 1));
  std::memcpy(copy, text.data(), text.size());
  return {copy, text.size()};
}

}  // namespace

void H2FieldCollector::Begin(Block block, const H1Limits& limits, HeaderList& list) {
  *this = H2FieldCollector();
  block_ = block;
  limits_ = &limits;
  list_ = &list;
}

void H2FieldCollector::Add(std::string_view name, std::string_view value) {
  bytes_ += name.size() + value.size() + kFieldOverhead;
  if (bytes_ > limits_->max_header_bytes) too_large_ = "headers_too_large";
  if (!name.empty() && name[0] == ':') return AddPseudo(name, value);
  regular_seen_ = true;
  if (++fields_ > limits_->max_header_count && too_large_.empty()) too_large_ = "too_many_headers";
  if (!too_large_.empty() || !malformed_.empty()) return;
  const HeaderId id = LookUpHeader(name);
  const bool known = id != HeaderId::kOther;
  if ((known ? name != HeaderName(id) : !IsFieldName(name)) || !IsH2Value(value)) {
    return SetMalformed("invalid_header");
  }
  if ((IdBit(id) & kConnectionIds) != 0) return SetMalformed("connection_header");
  if (block_ == Block::kTrailers) return AddTrailer(id, name, value);
  if (known) return AddKnown(id, value);
  char* const copy = static_cast<char*>(list_->arena().Allocate(name.size() + value.size(), 1));
  std::memcpy(copy, name.data(), name.size());
  if (!value.empty()) std::memcpy(copy + name.size(), value.data(), value.size());
  list_->Add(HeaderField{{copy, name.size()}, {copy + name.size(), value.size()}, id});
}

void H2FieldCollector::AddKnown(HeaderId id, std::string_view value) {
  if (id == HeaderId::kTe && block_ == Block::kRequest && !EqualsIgnoreCase(value, "trailers")) {
    return SetMalformed("invalid_te");
  }
  if ((IdBit(id) & kDroppedIds) != 0) return;
  const std::string_view copy = CopyInto(list_->arena(), value);
  switch (id) {
    case HeaderId::kContentLength:
      if (has_length_) return SetMalformed("conflicting_length");
      has_length_ = true;
      if (!internal::ParseLength(value, length_)) return SetMalformed("invalid_content_length");
      break;
    case HeaderId::kHost:
      if (has_host_) return SetMalformed("duplicate_host");
      has_host_ = true;
      host_ = copy;
      break;
    case HeaderId::kExpect:
      expect_ = copy;
      break;
    case HeaderId::kCookie:
      ++cookies_;
      break;
    default:
      break;
  }
  list_->Add(HeaderField{HeaderName(id), copy, id});
}

void H2FieldCollector::AddTrailer(HeaderId id, std::string_view name, std::string_view value) {
  if (!IsSafeTrailer(HeaderField{name, value, id})) return;
  base::Arena& arena = list_->arena();
  const std::string_view kept = id == HeaderId::kOther ? CopyInto(arena, name) : HeaderName(id);
  list_->Add(HeaderField{kept, CopyInto(arena, value), id});
}

void H2FieldCollector::AddPseudo(std::string_view name, std::string_view value) {
  Pseudo which = kPseudoCount;
  if (name == ":method") {
    which = kMethod;
  } else if (name == ":path") {
    which = kPath;
  } else if (name == ":scheme") {
    which = kScheme;
  } else if (name == ":authority") {
    which = kAuthority;
  } else if (name == ":status") {
    which = kStatus;
  } else if (name == ":protocol") {
    which = kProtocol;
  }
  const bool fits = which != kPseudoCount && block_ != Block::kTrailers &&
                    (which == kStatus) == (block_ == Block::kResponse);
  if (!fits || regular_seen_ || seen(which)) return SetMalformed("invalid_pseudo_header");
  seen_ = static_cast<uint8_t>(seen_ | (1u << which));
  if (!IsH2Value(value)) return SetMalformed("invalid_header");
  if (too_large_.empty()) pseudo_[which] = CopyInto(list_->arena(), value);
}

H2HeadResult H2FieldCollector::Verdict() const {
  if (!malformed_.empty()) return Malformed(malformed_);
  if (!too_large_.empty()) return Refused(431, too_large_);
  return {};
}

// RFC 9113 section 8.2.3: who gets them by HTTP/1.1 must see one field.
void H2FieldCollector::JoinCookies() {
  size_t size = 0;
  for (const HeaderField& field : *list_) {
    if (field.id == HeaderId::kCookie) size += field.value.size() + 2;
  }
  char* const joined = static_cast<char*>(list_->arena().Allocate(size, 1));
  char* out = joined;
  HeaderField* first = nullptr;
  for (HeaderField& field : *list_) {
    if (field.id != HeaderId::kCookie) continue;
    if (first == nullptr) {
      first = &field;
    } else {
      std::memcpy(out, "; ", 2);
      out += 2;
      field.name = {};
    }
    out = std::copy(field.value.begin(), field.value.end(), out);
  }
  first->value = {joined, static_cast<size_t>(out - joined)};
}

namespace {

// RFC 9113 section 8.3.1: whoever says both says the same.
std::string_view SetAuthority(std::string_view pseudo, bool has_host, std::string_view host,
                              RequestHead& head) {
  base::Arena& arena = head.headers.arena();
  const std::string_view said = pseudo.data() != nullptr ? pseudo : host;
  if (const std::string_view error = ParseAuthority(said, arena, head.authority, head.host);
      !error.empty()) {
    return error;
  }
  if (!has_host) {
    head.headers.Add(HeaderField{HeaderName(HeaderId::kHost), head.authority, HeaderId::kHost});
    return {};
  }
  return EqualsIgnoreCase(host, said) ? std::string_view() : "duplicate_host";
}

}  // namespace

H2HeadResult FinishRequest(H2FieldCollector& block, bool end_stream, RequestHead& head) {
  using C = H2FieldCollector;
  const auto& pseudo = block.pseudo_;
  head.version = Version::kHttp2;
  head.takes_trailers = true;
  head.method_text = pseudo[C::kMethod];
  head.method = LookUpMethod(head.method_text);
  head.target = pseudo[C::kPath];
  if (const H2HeadResult verdict = block.Verdict(); verdict.kind != H2HeadResult::Kind::kOk) {
    return verdict;
  }
  if (!IsToken(head.method_text)) return Malformed("invalid_pseudo_header");
  const bool connect = head.method == Method::kConnect;
  const bool extended = block.seen(C::kProtocol);
  if (connect && !extended) {
    // RFC 9113 section 8.5.
    if (block.seen(C::kScheme) || block.seen(C::kPath) || !block.seen(C::kAuthority)) {
      return Malformed("invalid_pseudo_header");
    }
    return Refused(501, "connect_not_supported");
  }
  const std::string_view path = pseudo[C::kPath];
  if (pseudo[C::kScheme].empty() || path.empty() || (extended && !connect) ||
      (path[0] != '/' && path != "*")) {
    return Malformed("invalid_pseudo_header");
  }
  if (block.has_length_ && end_stream && block.length_ != 0) {
    return Malformed("conflicting_length");
  }
  const std::string_view scheme = pseudo[C::kScheme];
  if (!EqualsIgnoreCase(scheme, "https") && !EqualsIgnoreCase(scheme, "http")) {
    return Refused(400, "invalid_scheme");
  }
  if (!block.seen(C::kAuthority) && !block.has_host_) return Refused(400, "missing_host");
  if (const std::string_view error =
          SetAuthority(pseudo[C::kAuthority], block.has_host_, block.host_, head);
      !error.empty()) {
    return error == "duplicate_host" ? Malformed(error) : Refused(400, error);
  }
  if (const std::string_view error = ParseTarget(path, head); !error.empty()) {
    return Refused(400, error);
  }
  if (extended) {
    // RFC 8441 section 4: what follows are the tunnel's bytes.
    if (!EqualsIgnoreCase(pseudo[C::kProtocol], "websocket")) {
      return Refused(501, "connect_not_supported");
    }
    if (end_stream || block.has_length_) return Malformed("conflicting_length");
    head.method = Method::kGet;
    head.method_text = "GET";
    head.upgrade = "websocket";
  } else if (block.has_length_) {
    head.body = BodyKind::kLength;
    head.content_length = block.length_;
  } else if (!end_stream) {
    head.body = BodyKind::kChunked;
  }
  if (block.cookies_ > 1) block.JoinCookies();
  if (block.expect_.data() != nullptr) {
    if (!EqualsIgnoreCase(block.expect_, "100-continue")) {
      return Refused(417, "invalid_expectation");
    }
    head.expect_continue = !end_stream && head.upgrade.empty();
  }
  return {};
}

H2HeadResult FinishResponse(H2FieldCollector& block, bool end_stream, Method request_method,
                            ResponseHead& head) {
  head.version = Version::kHttp2;
  if (const H2HeadResult verdict = block.Verdict(); verdict.kind != H2HeadResult::Kind::kOk) {
    return verdict;
  }
  const std::string_view status = block.pseudo_[H2FieldCollector::kStatus];
  if (status.size() != 3 || !IsDigit(status[0]) || !IsDigit(status[1]) || !IsDigit(status[2])) {
    return Malformed("invalid_pseudo_header");
  }
  head.status = (status[0] - '0') * 100 + (status[1] - '0') * 10 + (status[2] - '0');
  // RFC 9113 section 8.6: 101 does not exist.
  if (head.status < 100 || head.status == 101) return Malformed("invalid_pseudo_header");
  if (head.status < 200) {
    return end_stream ? Malformed("invalid_pseudo_header") : H2HeadResult();
  }
  const bool no_body = request_method == Method::kHead || head.status == 204 || head.status == 304;
  if (block.has_length_ && end_stream && block.length_ != 0 && !no_body) {
    return Malformed("conflicting_length");
  }
  if (no_body) {
    head.body = BodyKind::kNone;
  } else if (block.has_length_) {
    head.body = BodyKind::kLength;
    head.content_length = block.length_;
  } else {
    head.body = end_stream ? BodyKind::kNone : BodyKind::kChunked;
  }
  return {};
}

H2HeadResult FinishTrailers(H2FieldCollector& block, bool end_stream) {
  if (!end_stream) return Malformed("invalid_trailer");
  return block.Verdict();
}

}  // namespace portico::http
