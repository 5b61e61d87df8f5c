#include "dataplane/routing/conditions.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "api/resource/strings.h"

namespace portico::routing {
namespace {

constexpr size_t kMaxRegexValue = 4096;

re2::StringPiece Piece(std::string_view text) { return {text.data(), text.size()}; }

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Reads percent-encoded text byte by byte. Malformed encodings stand for themselves.
class Decoder {
 public:
  explicit Decoder(std::string_view text) : text_(text) {}
  bool done() const { return at_ == text_.size(); }
  char Next() {
    const char c = text_[at_];
    if (c == '%' && at_ + 2 < text_.size()) {
      const int high = HexDigit(text_[at_ + 1]), low = HexDigit(text_[at_ + 2]);
      if (high >= 0 && low >= 0) {
        at_ += 3;
        return static_cast<char>(high * 16 + low);
      }
    }
    ++at_;
    return c;
  }

 private:
  std::string_view text_;
  size_t at_ = 0;
};

bool DecodedEquals(std::string_view encoded, std::string_view plain) {
  if (encoded == plain && encoded.find('%') == std::string_view::npos) return true;
  Decoder decoder(encoded);
  size_t i = 0;
  while (!decoder.done()) {
    if (i == plain.size() || decoder.Next() != plain[i]) return false;
    ++i;
  }
  return i == plain.size();
}

// The undecoded value of the first parameter called `name`.
std::optional<std::string_view> FindParameter(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const size_t end = std::min(query.find('&'), query.size());
    const std::string_view pair = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    if (pair.empty()) continue;
    const size_t equals = std::min(pair.find('='), pair.size());
    if (!DecodedEquals(pair.substr(0, equals), name)) continue;
    return pair.substr(std::min(equals + 1, pair.size()));
  }
  return std::nullopt;
}

}  // namespace

uint16_t MethodBit(std::string_view method) {
  switch (method.size()) {
    case 3:
      if (method == "GET") return 1 << 0;
      if (method == "PUT") return 1 << 1;
      break;
    case 4:
      if (method == "POST") return 1 << 2;
      if (method == "HEAD") return 1 << 3;
      break;
    case 5:
      if (method == "PATCH") return 1 << 4;
      if (method == "TRACE") return 1 << 5;
      break;
    case 6:
      if (method == "DELETE") return 1 << 6;
      break;
    case 7:
      if (method == "OPTIONS") return 1 << 7;
      if (method == "CONNECT") return 1 << 8;
      break;
    default:
      break;
  }
  return kOtherMethod;
}

absl::StatusOr<std::unique_ptr<const re2::RE2>> CompileRegex(std::string_view pattern,
                                                             std::string_view field) {
  re2::RE2::Options options;
  options.set_log_errors(false);
  auto regex = std::make_unique<const re2::RE2>(Piece(pattern), options);
  if (!regex->ok()) {
    return absl::InvalidArgumentError(absl::StrCat(api::Absl(field), ": \"", api::Absl(pattern),
                                                   "\": ", regex->error(),
                                                   "; write an RE2 expression"));
  }
  return regex;
}

bool MatchesWhole(const re2::RE2& regex, std::string_view text) {
  return regex.Match(Piece(text), 0, text.size(), re2::RE2::ANCHOR_BOTH, nullptr, 0);
}

bool HeaderCondition::Holds(const RequestView& request) const {
  const std::string_view value = request.header(name);
  if (value.data() == nullptr) return kind == Kind::kAbsent;
  switch (kind) {
    case Kind::kPresent:
      return true;
    case Kind::kAbsent:
      return false;
    case Kind::kExact:
      return value == text;
    case Kind::kPrefix:
      return value.substr(0, text.size()) == text;
    case Kind::kRegex:
      return MatchesWhole(*regex, value);
  }
  return false;
}

bool QueryCondition::Holds(std::string_view query) const {
  const std::optional<std::string_view> value = FindParameter(query, name);
  if (!value.has_value()) return kind == Kind::kAbsent;
  switch (kind) {
    case Kind::kPresent:
      return true;
    case Kind::kAbsent:
      return false;
    case Kind::kExact:
      return DecodedEquals(*value, text);
    case Kind::kRegex: {
      std::array<char, kMaxRegexValue> decoded;
      size_t size = 0;
      for (Decoder decoder(*value); !decoder.done();) {
        if (size == decoded.size()) return false;
        decoded[size++] = decoder.Next();
      }
      return MatchesWhole(*regex, {decoded.data(), size});
    }
  }
  return false;
}

bool Conditions::HoldOtherMethod(std::string_view method) const {
  return std::find(other_methods.begin(), other_methods.end(), method) != other_methods.end();
}

bool Conditions::Hold(const RequestView& request) const {
  for (const HeaderCondition& condition : headers) {
    if (!condition.Holds(request)) return false;
  }
  if (query.empty()) return true;
  const std::string_view text = request.query();
  for (const QueryCondition& condition : query) {
    if (!condition.Holds(text)) return false;
  }
  return true;
}

namespace {

absl::StatusOr<HeaderCondition> CompileHeader(const v1::HeaderMatch& match, std::string_view field) {
  HeaderCondition condition;
  condition.name = absl::AsciiStrToLower(match.name());
  if (condition.name.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(api::Absl(field), ".name: is empty; name the header field"));
  }
  switch (match.condition_case()) {
    case v1::HeaderMatch::kExact:
      condition.kind = HeaderCondition::Kind::kExact;
      condition.text = match.exact();
      break;
    case v1::HeaderMatch::kPrefix:
      condition.kind = HeaderCondition::Kind::kPrefix;
      condition.text = match.prefix();
      break;
    case v1::HeaderMatch::kRegex: {
      condition.kind = HeaderCondition::Kind::kRegex;
      auto regex = CompileRegex(match.regex(), absl::StrCat(api::Absl(field), ".regex"));
      if (!regex.ok()) return regex.status();
      condition.regex = *std::move(regex);
      break;
    }
    case v1::HeaderMatch::kPresent:
      condition.kind = match.present() ? HeaderCondition::Kind::kPresent : HeaderCondition::Kind::kAbsent;
      break;
    case v1::HeaderMatch::CONDITION_NOT_SET:
      return absl::InvalidArgumentError(absl::StrCat(
          api::Absl(field), ": has no condition; write one of exact, prefix, regex, present"));
  }
  return condition;
}

absl::StatusOr<QueryCondition> CompileQuery(const v1::QueryMatch& match, std::string_view field) {
  QueryCondition condition;
  condition.name = match.name();
  switch (match.condition_case()) {
    case v1::QueryMatch::kExact:
      condition.kind = QueryCondition::Kind::kExact;
      condition.text = match.exact();
      break;
    case v1::QueryMatch::kRegex: {
      condition.kind = QueryCondition::Kind::kRegex;
      auto regex = CompileRegex(match.regex(), absl::StrCat(api::Absl(field), ".regex"));
      if (!regex.ok()) return regex.status();
      condition.regex = *std::move(regex);
      break;
    }
    case v1::QueryMatch::kPresent:
      condition.kind = match.present() ? QueryCondition::Kind::kPresent : QueryCondition::Kind::kAbsent;
      break;
    case v1::QueryMatch::CONDITION_NOT_SET:
      return absl::InvalidArgumentError(
          absl::StrCat(api::Absl(field), ": has no condition; write one of exact, regex, present"));
  }
  return condition;
}

}  // namespace

absl::StatusOr<Conditions> CompileConditions(const v1::RouteMatch& match, uint16_t& methods) {
  Conditions conditions;
  methods = match.methods().empty() ? kAnyMethod : 0;
  for (const std::string& method : match.methods()) {
    const uint16_t bit = MethodBit(method);
    methods = static_cast<uint16_t>(methods | bit);
    if (bit == kOtherMethod) conditions.other_methods.push_back(method);
  }
  for (int i = 0; i < match.headers_size(); ++i) {
    auto header = CompileHeader(match.headers(i), absl::StrCat("match.headers[", i, "]"));
    if (!header.ok()) return header.status();
    conditions.headers.push_back(*std::move(header));
  }
  for (int i = 0; i < match.query_size(); ++i) {
    auto query = CompileQuery(match.query(i), absl::StrCat("match.query[", i, "]"));
    if (!query.ok()) return query.status();
    conditions.query.push_back(*std::move(query));
  }
  return conditions;
}

}  // namespace portico::routing
