#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "api/resource/certificate.h"
#include "api/resource/host.h"
#include "api/resource/secrets.h"
#include "api/resource/strings.h"
#include "api/validation/checks.h"
#include "api/validation/validate.h"

namespace portico::api {
namespace {

using Names = google::protobuf::RepeatedPtrField<std::string>;

void AddProblems(const CertificateInspection& inspection, Report& report) {
  for (const CertificateProblem& problem : inspection.problems)
    report.Add(absl::StrCat("spec.", problem.field), problem.value, problem.reason, problem.fix);
}

void CheckNames(const Names& names, const std::string& field, size_t most, const char* fix,
                Report& report) {
  report.AtMost(field, static_cast<size_t>(names.size()), most, "names");
  Duplicates duplicates;
  for (int i = 0; i < names.size(); ++i) {
    if (report.Required(At(field, i), names[i], fix))
      duplicates.Check(report, At(field, i), names[i]);
  }
}

// A host name of letters, "*." in front if `wildcard`. Addresses are none: nobody asks for them by
// SNI (RFC 6066 section 3).
bool CheckServerName(const std::string& field, const std::string& name, bool wildcard,
                     Report& report) {
  const absl::StatusOr<HostPattern> pattern = ParseHostPattern(name);
  if (!pattern.ok()) {
    report.Add(field, name, pattern.status());
    return false;
  }
  if (pattern->wildcard && !wildcard) {
    report.Add(field, name, "is a wildcard, and one name is asked for", "write one host name");
    return false;
  }
  // A name of digits in its last label is an address (WHATWG URL, "ends in a number").
  const std::string_view last =
      std::string_view(pattern->name).substr(pattern->name.rfind('.') + 1);
  if (pattern->name[0] == '[' || std::all_of(last.begin(), last.end(), absl::ascii_isdigit)) {
    report.Add(field, name, "is an address, and servers are asked for by name (RFC 6066 section 3)",
               "write a host name");
    return false;
  }
  return true;
}

bool IsUri(std::string_view text) {
  const size_t scheme = text.find(':');
  if (scheme == 0 || scheme == std::string_view::npos || !absl::ascii_isalpha(text[0]))
    return false;
  const bool scheme_ok = std::all_of(
      text.begin(), text.begin() + static_cast<ptrdiff_t>(scheme),
      [](unsigned char c) { return absl::ascii_isalnum(c) || c == '+' || c == '-' || c == '.'; });
  return scheme_ok && scheme + 1 < text.size() &&
         std::all_of(text.begin(), text.end(),
                     [](unsigned char c) { return c > 0x20 && c < 0x7f; });
}

void CheckAlternativeNames(const Names& names, const std::string& field, Report& report) {
  report.AtMost(field, static_cast<size_t>(names.size()), 100, "names");
  Duplicates duplicates;
  for (int i = 0; i < names.size(); ++i) {
    const std::string at = At(field, i);
    const std::string& name = names[i];
    if (name.find(':') == std::string::npos) {
      if (!CheckServerName(at, name, true, report)) continue;
    } else if (!IsUri(name) || name.size() > 2048 ||
               std::min(name.find('*'), name.size()) + 1 < name.size()) {
      report.Add(at, name, "is neither a DNS name nor a URI with a \"*\" at most at its end",
                 "write \"a.example.com\", \"*.example.com\" or \"spiffe://example.com/service\"");
      continue;
    }
    duplicates.Check(report, at, absl::AsciiStrToLower(name), name);
  }
}

void CheckFingerprints(const Names& fingerprints, const std::string& field, Report& report) {
  report.AtMost(field, static_cast<size_t>(fingerprints.size()), 1000, "fingerprints");
  Duplicates duplicates;
  for (int i = 0; i < fingerprints.size(); ++i) {
    const std::string at = At(field, i);
    const std::string plain =
        absl::AsciiStrToLower(absl::StrReplaceAll(fingerprints[i], {{":", ""}}));
    if (plain.size() != 64 || plain.find_first_not_of("0123456789abcdef") != std::string::npos) {
      report.Add(at, fingerprints[i], "is not a SHA-256 of 64 hexadecimal digits",
                 "write what `openssl x509 -noout -fingerprint -sha256 -in FILE` prints behind "
                 "\"=\"");
      continue;
    }
    duplicates.Check(report, at, plain, fingerprints[i]);
  }
}

void CheckClientAuthentication(const v1::ClientAuthentication& authentication,
                               const std::string& at, Report& report) {
  const bool known = report.Known(at + ".mode", authentication.mode(),
                                  v1::ClientAuthentication_Mode_IsValid(authentication.mode()));
  const bool off = authentication.mode() == v1::ClientAuthentication::OFF;
  if (known && !off && authentication.ca_bundles().empty()) {
    report.Add(at + ".ca_bundles", "", "is required and not set",
               "name the CaBundle whose certificates sign the clients'");
  }
  if (off && !(authentication.ca_bundles().empty() && authentication.subject_alt_names().empty() &&
               authentication.fingerprints().empty())) {
    report.Add(at + ".mode", "off", "has rules beside it that it makes ineffective",
               "write mode: required or mode: optional, or remove the rules");
  }
  CheckNames(authentication.ca_bundles(), at + ".ca_bundles", 16, "name a CaBundle", report);
  CheckAlternativeNames(authentication.subject_alt_names(), at + ".subject_alt_names", report);
  CheckFingerprints(authentication.fingerprints(), at + ".fingerprints", report);
}

void CheckVersion(v1::TlsVersion version, Report& report) {
  report.Known("spec.tls.min_version", version, v1::TlsVersion_IsValid(version));
}

}  // namespace

void CheckCertificate(const v1::Certificate& certificate, Report& report) {
  AddProblems(InspectCertificate(certificate.chain(), certificate.private_key(),
                                 certificate.ocsp_response()),
              report);
}

std::vector<v1::Violation> WarningsAbout(const v1::Resource& resource, absl::Time now) {
  std::vector<Finding> findings;
  Report report(KeyOf(resource), findings);
  const auto check = [&](const char* field, const CertificateInspection& inspection) {
    for (const CertificateSummary& one : inspection.chain) {
      const auto date = [](int64_t seconds) {
        return absl::FormatTime("%Y-%m-%d %H:%M:%S", absl::FromUnixSeconds(seconds),
                                absl::UTCTimeZone());
      };
      const int64_t at = absl::ToUnixSeconds(now);
      if (at > one.not_after) {
        report.Add(field, one.subject,
                   absl::StrCat("has expired, on ", date(one.not_after), " UTC"),
                   "replace it: peers refuse it");
      } else if (at < one.not_before) {
        report.Add(field, one.subject,
                   absl::StrCat("is not valid before ", date(one.not_before), " UTC"),
                   "use it from then on, or correct this machine's clock");
      }
    }
  };
  if (resource.has_certificate()) {
    check("spec.chain", InspectCertificate(resource.certificate().chain(), "", ""));
  } else if (resource.has_ca_bundle()) {
    check("spec.certificates", InspectCaBundle(resource.ca_bundle().certificates()));
  }
  std::vector<v1::Violation> warnings;
  for (Finding& finding : findings) warnings.push_back(std::move(finding.violation));
  return warnings;
}

void CheckCaBundle(const v1::CaBundle& bundle, Report& report) {
  AddProblems(InspectCaBundle(bundle.certificates()), report);
}

void CheckSessionTicketKeys(const v1::SessionTicketKeys& keys, Report& report) {
  if (report.key().name != "default") {
    report.Add("name", report.key().name, "is not \"default\", and there are only these",
               "leave it out: the control plane makes and replaces the keys");
  }
  if (keys.keys().empty())
    report.Add("spec.keys", "", "is required and not set", "leave the resource out");
  report.AtMost("spec.keys", static_cast<size_t>(keys.keys_size()), 8, "keys");
  for (int i = 0; i < keys.keys_size(); ++i) {
    if (keys.keys(i).secret().size() == 32) continue;
    report.Add(At("spec.keys", i) + ".secret", kRedacted, "is not 32 bytes long",
               "leave the resource out: the control plane makes and replaces the keys");
  }
}

void CheckListenerTls(const v1::ListenerTls& tls, Report& report) {
  if (tls.certificates().empty()) {
    report.Add("spec.tls.certificates", "", "is required and not set", "name a Certificate");
  }
  CheckNames(tls.certificates(), "spec.tls.certificates", 1000, "name a Certificate", report);
  CheckVersion(tls.min_version(), report);
  CheckClientAuthentication(tls.client_authentication(), "spec.tls.client_authentication", report);
  report.AtMost("spec.tls.server_names", static_cast<size_t>(tls.server_names_size()), 100,
                "entries");
  Duplicates duplicates;
  for (int i = 0; i < tls.server_names_size(); ++i) {
    const v1::TlsServerName& entry = tls.server_names(i);
    const std::string at = At("spec.tls.server_names", i);
    if (entry.names().empty())
      report.Add(at + ".names", "", "is required and not set", "write a host name");
    report.AtMost(at + ".names", static_cast<size_t>(entry.names_size()), 100, "names");
    for (int j = 0; j < entry.names_size(); ++j) {
      const std::string field = At(at + ".names", j);
      if (CheckServerName(field, entry.names(j), true, report))
        duplicates.Check(report, field, absl::AsciiStrToLower(entry.names(j)), entry.names(j));
    }
    CheckClientAuthentication(entry.client_authentication(), at + ".client_authentication", report);
  }
}

void CheckUpstreamTls(const v1::Upstream& upstream, Report& report) {
  report.Known("spec.protocol", upstream.protocol(),
               v1::UpstreamProtocol_IsValid(upstream.protocol()));
  if (!upstream.has_tls()) {
    if (upstream.protocol() == v1::UPSTREAM_PROTOCOL_AUTO) {
      report.Add("spec.protocol", "auto", "is chosen during the TLS handshake, and there is no tls",
                 "set tls, or write http1 or http2");
    }
    return;
  }
  const v1::UpstreamTls& tls = upstream.tls();
  const std::string at = "spec.tls.";
  if (!tls.insecure_skip_verify()) {
    if (tls.ca_bundles().empty()) {
      report.Add(at + "ca_bundles", "", "is required and not set",
                 "name the CaBundle whose certificates sign the endpoints'");
    }
    report.Required(at + "server_name", tls.server_name(),
                    "write the name that the endpoints' certificate is for");
  }
  if (!tls.server_name().empty())
    CheckServerName(at + "server_name", tls.server_name(), false, report);
  CheckNames(tls.ca_bundles(), at + "ca_bundles", 16, "name a CaBundle", report);
  CheckAlternativeNames(tls.subject_alt_names(), at + "subject_alt_names", report);
  CheckVersion(tls.min_version(), report);
}

}  // namespace portico::api
