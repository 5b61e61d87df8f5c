#include "tools/porticoctl/summary.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "api/resource/certificate.h"

namespace portico::ctl {
namespace {

std::string Count(int count, const char* what) {
  return absl::StrCat(count, " ", what, count == 1 ? "" : "s");
}

std::string Path(const v1::PathMatch& path) {
  switch (path.kind_case()) {
    case v1::PathMatch::kExact:
      return absl::StrCat("=", path.exact());
    case v1::PathMatch::kPrefix:
      return absl::StrCat(path.prefix(), path.prefix().ends_with("/") ? "*" : "/*");
    case v1::PathMatch::kTemplate:
      return path.template_();
    case v1::PathMatch::kRegex:
      return absl::StrCat("~", path.regex());
    case v1::PathMatch::kGrpc:
      return absl::StrCat("grpc ", path.grpc().service(), "/",
                          path.grpc().method().empty() ? "*" : path.grpc().method());
    case v1::PathMatch::KIND_NOT_SET:
      break;
  }
  return "?";
}

std::string Describe(const v1::Route& route) {
  std::vector<std::string> parts;
  if (!route.match().methods().empty())
    parts.push_back(absl::StrJoin(route.match().methods(), ","));
  if (!route.match().hosts().empty()) parts.push_back(absl::StrJoin(route.match().hosts(), ","));
  parts.push_back(Path(route.match().path()));
  parts.push_back("->");
  if (route.has_respond()) parts.push_back(absl::StrCat("respond ", route.respond().status()));
  std::vector<std::string> upstreams;
  for (const v1::WeightedUpstream& upstream : route.upstreams()) {
    upstreams.push_back(upstream.weight() > 1
                            ? absl::StrCat(upstream.name(), "*", upstream.weight())
                            : upstream.name());
  }
  if (!upstreams.empty()) parts.push_back(absl::StrJoin(upstreams, ","));
  return absl::StrJoin(parts, " ");
}

std::string Describe(const v1::Rate& rate) {
  const absl::Duration per =
      absl::Seconds(rate.per().seconds()) + absl::Nanoseconds(rate.per().nanos());
  return absl::StrCat(rate.requests(), " per ", absl::FormatDuration(per));
}

std::string Describe(const v1::RateLimitPolicy& policy) {
  std::vector<std::string> parts;
  for (const v1::RateLimitKey& key : policy.key()) {
    switch (key.part_case()) {
      case v1::RateLimitKey::kClientAddress:
        parts.push_back("client_address");
        break;
      case v1::RateLimitKey::kConsumer:
        parts.push_back("consumer");
        break;
      case v1::RateLimitKey::kRoute:
        parts.push_back("route");
        break;
      case v1::RateLimitKey::kHeader:
        parts.push_back(absl::StrCat("header ", key.header()));
        break;
      case v1::RateLimitKey::kClaim:
        parts.push_back(absl::StrCat("claim ", key.claim()));
        break;
      case v1::RateLimitKey::kClientCertificate:
        parts.push_back("client_certificate");
        break;
      case v1::RateLimitKey::PART_NOT_SET:
        break;
    }
  }
  return absl::StrCat(Describe(policy.rate()), " by ", absl::StrJoin(parts, "+"));
}

std::string Describe(const v1::Consumer& consumer) {
  std::string text = Count(consumer.api_keys_size(), "key");
  if (!consumer.plan().empty()) absl::StrAppend(&text, ", plan ", consumer.plan());
  return text;
}

// "a.example,*.b.example, ECDSA P-256, until 2030-01-01".
std::string Describe(const v1::Certificate& certificate) {
  const api::CertificateInspection inspection =
      api::InspectCertificate(certificate.chain(), "", "");
  if (inspection.chain.empty()) return "";
  const api::CertificateSummary& leaf = inspection.chain.front();
  return absl::StrCat(
      leaf.dns_names.empty() ? leaf.subject : absl::StrJoin(leaf.dns_names, ","), ", ", leaf.key,
      ", until ",
      absl::FormatTime("%Y-%m-%d", absl::FromUnixSeconds(leaf.not_after), absl::UTCTimeZone()));
}

int CountOf(const std::string& text, const std::string& part) {
  int count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

}  // namespace

std::string Summary(const v1::Resource& resource) {
  switch (resource.spec_case()) {
    case v1::Resource::kListener:
      return resource.listener().address();
    case v1::Resource::kRoute:
      return Describe(resource.route());
    case v1::Resource::kUpstream:
      return Count(resource.upstream().endpoints_size(), "endpoint");
    case v1::Resource::kJwtProvider:
      return resource.jwt_provider().issuer();
    case v1::Resource::kConsumer:
      return Describe(resource.consumer());
    case v1::Resource::kPlan:
      return Count(resource.plan().rate_limits_size(), "rate");
    case v1::Resource::kRateLimitPolicy:
      return Describe(resource.rate_limit_policy());
    case v1::Resource::kHeaderTransform: {
      const v1::HeaderTransform& t = resource.header_transform();
      const auto edits = [](const v1::HeaderEdits& e) {
        return e.set_size() + e.add_size() + e.remove_size();
      };
      return Count(edits(t.request()) + edits(t.response()), "edit");
    }
    case v1::Resource::kAccessLog:
      return resource.access_log().path();
    case v1::Resource::kCertificate:
      return Describe(resource.certificate());
    case v1::Resource::kCaBundle:
      return Count(CountOf(resource.ca_bundle().certificates(), "-----BEGIN CERTIFICATE-----"),
                   "certificate");
    case v1::Resource::kSessionTicketKeys:
      return Count(resource.session_ticket_keys().keys_size(), "key");
    case v1::Resource::SPEC_NOT_SET:
      break;
  }
  return "";
}

}  // namespace portico::ctl
