#include "dataplane/filters/header_transform/header_edits.h"

#include <array>
#include <cstring>

#include "dataplane/filters/text.h"
#include "dataplane/snapshot/snapshot.h"

namespace portico::filters {
namespace {

// api::ParseHeaderTemplate() gives at most 32 variables and a literal on each side.
constexpr size_t kMaxParts = 65;

std::string_view AddressText(const snapshot::PolicyContext& context) {
  char* const text = static_cast<char*>(context.arena.Allocate(net::IpAddress::kMaxText, 1));
  return {text, context.client.Format(text)};
}

std::string_view TlsValue(api::HeaderVariable variable, const net::TlsInfo* tls) {
  using Variable = api::HeaderVariable;
  if (tls == nullptr) return {};
  if (variable == Variable::kTlsVersion) return tls->version;
  if (variable == Variable::kTlsServerName) return tls->server_name;
  if (!tls->has_peer_certificate) return {};
  const net::PeerCertificate& certificate = tls->peer_certificate;
  if (variable == Variable::kTlsClientFingerprint) return certificate.fingerprint;
  if (variable == Variable::kTlsClientSubject) return certificate.subject;
  return certificate.AlternativeName();
}

std::string_view RawValue(const api::HeaderPart& part, const snapshot::PolicyContext& context) {
  using Variable = api::HeaderVariable;
  switch (*part.variable) {
    case Variable::kClientAddress:
      return AddressText(context);
    case Variable::kRequestId:
      return context.request_id;
    case Variable::kRequestMethod:
      return context.request.method_text;
    case Variable::kRequestPath:
      return context.request.path;
    case Variable::kRequestHost:
      return context.request.host;
    case Variable::kRequestHeader: {
      const http::HeaderField* field = context.request.headers.Find(part.text);
      return field == nullptr ? std::string_view() : field->value;
    }
    case Variable::kRouteName:
      return context.route.name();
    case Variable::kUpstreamName:
      return context.upstream;
    case Variable::kConsumerName:
      return context.identity.consumer;
    case Variable::kConsumerPlan:
      return context.identity.plan;
    case Variable::kClaim:
      if (context.identity.claims == nullptr) return {};
      return context.identity.claims->Find(part.text).value_or(std::string_view());
    case Variable::kTlsVersion:
    case Variable::kTlsServerName:
    case Variable::kTlsClientFingerprint:
    case Variable::kTlsClientSubject:
    case Variable::kTlsClientSan:
      return TlsValue(*part.variable, context.tls);
  }
  return {};
}

std::string_view ValueOf(const api::HeaderPart& part, const snapshot::PolicyContext& context) {
  if (!part.variable.has_value()) return part.text;
  const std::string_view value = RawValue(part, context);
  return FitsHeader(value) ? value : std::string_view();
}

std::string_view Trim(std::string_view text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

}  // namespace

std::string_view ValueTemplate::Evaluate(const snapshot::PolicyContext& context) const {
  if (parts_.empty()) return "";
  if (parts_.size() == 1) return Trim(ValueOf(parts_[0], context));
  std::array<std::string_view, kMaxParts> values;
  size_t count = 0, size = 0;
  for (const api::HeaderPart& part : parts_) {
    if (count == values.size()) break;
    values[count] = ValueOf(part, context);
    size += values[count++].size();
  }
  char* const text = context.arena.NewArray<char>(size);
  char* next = text;
  for (size_t i = 0; i < count; ++i) {
    if (values[i].empty()) continue;
    std::memcpy(next, values[i].data(), values[i].size());
    next += values[i].size();
  }
  return Trim({text, size});
}

void HeaderEdits::Apply(const snapshot::PolicyContext& context, http::HeaderList& headers) const {
  remove.RemoveFrom(headers);
  for (const HeaderEdit& edit : set) {
    const std::string_view value = edit.value.Evaluate(context);
    edit.replaced.RemoveFrom(headers);
    headers.Add({.name = edit.name.text, .value = value, .id = edit.name.id});
  }
  for (const HeaderEdit& edit : add) {
    headers.Add(
        {.name = edit.name.text, .value = edit.value.Evaluate(context), .id = edit.name.id});
  }
}

}  // namespace portico::filters
