#include "dataplane/proxy/grpc.h"

#include <limits>

namespace portico::proxy {
namespace {

using http::HeaderId;

// Takes `prefix` off the front of `text`, whatever its case.
bool TakePrefix(std::string_view& text, std::string_view prefix) {
  if (!http::EqualsIgnoreCase(text.substr(0, prefix.size()), prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

// The name of a type ends here.
bool AtEnd(std::string_view rest) {
  return rest.empty() || rest[0] == '+' || rest[0] == ';' || rest[0] == ' ' || rest[0] == ',';
}

int64_t NanosOf(char unit) {
  switch (unit) {
    case 'H':
      return int64_t{3600} * 1'000'000'000;
    case 'M':
      return int64_t{60} * 1'000'000'000;
    case 'S':
      return 1'000'000'000;
    case 'm':
      return 1'000'000;
    case 'u':
      return 1'000;
    case 'n':
      return 1;
    default:
      return 0;
  }
}

}  // namespace

Grpc GrpcOfType(std::string_view content_type) {
  std::string_view rest = content_type;
  if (!TakePrefix(rest, "application/grpc")) return Grpc::kNone;
  if (AtEnd(rest)) return Grpc::kGrpc;
  if (!TakePrefix(rest, "-web")) return Grpc::kNone;
  if (AtEnd(rest)) return Grpc::kWeb;
  if (!TakePrefix(rest, "-text")) return Grpc::kNone;
  return AtEnd(rest) ? Grpc::kWebText : Grpc::kNone;
}

Grpc GrpcOfRequest(const http::HeaderList& headers, const http::HeaderField& type) {
  const Grpc sent = GrpcOfType(type.value);
  if (sent != Grpc::kWeb && sent != Grpc::kWebText) return sent;
  const http::HeaderField* accept = headers.Find(HeaderId::kAccept);
  const Grpc wanted = accept == nullptr ? Grpc::kNone : GrpcOfType(accept->value);
  return wanted == Grpc::kWeb || wanted == Grpc::kWebText ? wanted : sent;
}

std::optional<int64_t> ParseGrpcTimeout(std::string_view text) {
  if (text.size() < 2 || text.size() > 9) return std::nullopt;
  const int64_t unit = NanosOf(text.back());
  if (unit == 0) return std::nullopt;
  text.remove_suffix(1);
  int64_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + (c - '0');
  }
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  return value > kMax / unit ? kMax : value * unit;
}

int GrpcStatusOf(const http::HeaderList& fields) {
  const http::HeaderField* field = fields.Find(HeaderId::kGrpcStatus);
  if (field == nullptr) return kNoGrpcStatus;
  const std::string_view text = field->value;
  if (text.empty() || text.size() > 2) return kGrpcUnknown;
  int value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return kGrpcUnknown;
    value = value * 10 + (c - '0');
  }
  return value <= 16 ? value : kGrpcUnknown;
}

}  // namespace portico::proxy
