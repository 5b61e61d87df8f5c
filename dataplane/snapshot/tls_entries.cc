#include "dataplane/snapshot/tls_entries.h"

#include <sys/random.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "dataplane/base/check.h"

namespace portico::snapshot {
namespace {

constexpr size_t kTicketSecretBytes = 32;

using Names = google::protobuf::RepeatedPtrField<std::string>;

const api::StoredResource* Find(const api::ResourceSet& resources, const char* kind,
                                const std::string& name) {
  const auto found = resources.find(api::ResourceKey{kind, name});
  return found == resources.end() ? nullptr : found->second.get();
}

// What is hashed: names with the hashes of what they name.
class Ingredients {
 public:
  Ingredients(const char* role, const api::ResourceSet& resources)
      : resources_(resources), text_(role) {}

  void AddText(const std::string& text) { absl::StrAppend(&text_, "|", text.size(), ":", text); }
  void Add(const char* kind, const std::string& name) {
    const api::StoredResource* stored = Find(resources_, kind, name);
    if (stored == nullptr) return;
    text_.append(reinterpret_cast<const char*>(stored->hash.data()), stored->hash.size());
  }
  void Add(const char* kind, const Names& names) {
    for (const std::string& name : names) Add(kind, name);
  }
  api::Digest Hash() const { return api::Sha256(text_); }

 private:
  const api::ResourceSet& resources_;
  std::string text_;
};

absl::Status Missing(const std::string& field, const std::string& kind, const std::string& name) {
  return absl::InvalidArgumentError(
      absl::StrCat(field, ": \"", name, "\" is no ", kind, " of this revision"));
}

absl::StatusOr<std::string> Bundles(const Names& names, const std::string& field,
                                    const api::ResourceSet& resources) {
  std::string pem;
  for (const std::string& name : names) {
    const api::StoredResource* stored = Find(resources, "CaBundle", name);
    if (stored == nullptr) return Missing(field, "CaBundle", name);
    absl::StrAppend(&pem, stored->resource.ca_bundle().certificates(), "\n");
  }
  return pem;
}

absl::StatusOr<tls::CertificatePair> Pair(const std::string& name, const std::string& field,
                                          const api::ResourceSet& resources) {
  const api::StoredResource* stored = Find(resources, "Certificate", name);
  if (stored == nullptr) return Missing(field, "Certificate", name);
  const v1::Certificate& certificate = stored->resource.certificate();
  return tls::CertificatePair{name, certificate.chain(), certificate.private_key(),
                              certificate.ocsp_response()};
}

tls::Version VersionOf(v1::TlsVersion version) {
  return version == v1::TLS_VERSION_1_3 ? tls::Version::kTls13 : tls::Version::kTls12;
}

// Names of hosts are compared without case; what holds a colon is a URI.
std::vector<std::string> AlternativeNames(const Names& names) {
  std::vector<std::string> out;
  for (const std::string& name : names)
    out.push_back(name.find(':') == std::string::npos ? absl::AsciiStrToLower(name) : name);
  return out;
}

absl::StatusOr<tls::ClientAuthentication> Authentication(const v1::ClientAuthentication& spec,
                                                         const std::string& field,
                                                         const api::ResourceSet& resources) {
  tls::ClientAuthentication out;
  if (spec.mode() == v1::ClientAuthentication::OFF) return out;
  out.mode = spec.mode() == v1::ClientAuthentication::REQUIRED
                 ? tls::ClientAuthentication::Mode::kRequired
                 : tls::ClientAuthentication::Mode::kOptional;
  absl::StatusOr<std::string> bundles =
      Bundles(spec.ca_bundles(), field + ".client_authentication.ca_bundles", resources);
  if (!bundles.ok()) return bundles.status();
  out.ca_pem = *std::move(bundles);
  out.subject_alt_names = AlternativeNames(spec.subject_alt_names());
  for (const std::string& fingerprint : spec.fingerprints()) {
    out.fingerprints.push_back(
        absl::AsciiStrToLower(absl::StrReplaceAll(fingerprint, {{":", ""}})));
  }
  return out;
}

// Of this process, for as long as no control plane gives the fleet common ones.
const std::string& OwnTicketSecret() {
  static const std::string secret = [] {
    std::string bytes(kTicketSecretBytes, '\0');
    PORTICO_CHECK(getrandom(bytes.data(), bytes.size(), 0) ==
                  static_cast<ssize_t>(kTicketSecretBytes));
    return bytes;
  }();
  return secret;
}

std::vector<std::string> TicketSecrets(const v1::ListenerTls& spec,
                                       const api::ResourceSet& resources) {
  std::vector<std::string> secrets;
  if (spec.disable_session_tickets()) return secrets;
  if (const auto* stored = Find(resources, "SessionTicketKeys", "default")) {
    for (const auto& key : stored->resource.session_ticket_keys().keys())
      secrets.push_back(key.secret());
  }
  if (secrets.empty()) secrets.push_back(OwnTicketSecret());
  return secrets;
}

absl::Status Prefixed(const absl::Status& status) {
  return absl::InvalidArgumentError(absl::StrCat("spec.tls: ", status.message()));
}

}  // namespace

bool IsTlsKind(std::string_view kind) {
  return kind == "Certificate" || kind == "CaBundle" || kind == "SessionTicketKeys";
}

api::Digest TlsHash(const v1::Listener& spec, const api::ResourceSet& resources) {
  if (!spec.has_tls()) return {};
  const v1::ListenerTls& tls = spec.tls();
  Ingredients all("server", resources);
  all.AddText(tls.SerializeAsString());
  all.AddText(spec.http2().disabled() ? "" : "h2");
  all.Add("Certificate", tls.certificates());
  all.Add("CaBundle", tls.client_authentication().ca_bundles());
  for (const v1::TlsServerName& name : tls.server_names())
    all.Add("CaBundle", name.client_authentication().ca_bundles());
  if (!tls.disable_session_tickets()) all.Add("SessionTicketKeys", "default");
  return all.Hash();
}

api::Digest TlsHash(const v1::Upstream& spec, const api::ResourceSet& resources) {
  if (!spec.has_tls()) return {};
  Ingredients all("client", resources);
  all.AddText(spec.tls().SerializeAsString());
  all.AddText(absl::StrCat(spec.protocol()));
  all.Add("CaBundle", spec.tls().ca_bundles());
  all.Add("Certificate", spec.tls().certificate());
  return all.Hash();
}

absl::StatusOr<std::shared_ptr<const tls::ServerContext>> MakeServerContext(
    const v1::Listener& spec, const api::ResourceSet& resources) {
  const v1::ListenerTls& tls = spec.tls();
  tls::ServerConfig config;
  for (int i = 0; i < tls.certificates_size(); ++i) {
    absl::StatusOr<tls::CertificatePair> pair =
        Pair(tls.certificates(i), absl::StrCat("spec.tls.certificates[", i, "]"), resources);
    if (!pair.ok()) return pair.status();
    config.certificates.push_back(*std::move(pair));
  }
  config.min_version = VersionOf(tls.min_version());
  config.http2 = !spec.http2().disabled();
  absl::StatusOr<tls::ClientAuthentication> authentication =
      Authentication(tls.client_authentication(), "spec.tls", resources);
  if (!authentication.ok()) return authentication.status();
  config.client_authentication = *std::move(authentication);
  for (int i = 0; i < tls.server_names_size(); ++i) {
    tls::ServerConfig::ServerName name;
    for (const std::string& text : tls.server_names(i).names())
      name.names.push_back(absl::AsciiStrToLower(text));
    authentication = Authentication(tls.server_names(i).client_authentication(),
                                    absl::StrCat("spec.tls.server_names[", i, "]"), resources);
    if (!authentication.ok()) return authentication.status();
    name.client_authentication = *std::move(authentication);
    config.server_names.push_back(std::move(name));
  }
  config.ticket_secrets = TicketSecrets(tls, resources);
  absl::StatusOr<std::shared_ptr<const tls::ServerContext>> context =
      tls::ServerContext::Create(config);
  if (!context.ok()) return Prefixed(context.status());
  return context;
}

absl::StatusOr<std::shared_ptr<const tls::ClientContext>> MakeClientContext(
    const v1::Upstream& spec, const api::ResourceSet& resources) {
  const v1::UpstreamTls& tls = spec.tls();
  tls::ClientConfig config;
  absl::StatusOr<std::string> bundles = Bundles(tls.ca_bundles(), "spec.tls.ca_bundles", resources);
  if (!bundles.ok()) return bundles.status();
  config.ca_pem = *std::move(bundles);
  config.server_name = absl::AsciiStrToLower(tls.server_name());
  config.subject_alt_names = AlternativeNames(tls.subject_alt_names());
  config.verify = !tls.insecure_skip_verify();
  if (!tls.certificate().empty()) {
    absl::StatusOr<tls::CertificatePair> pair =
        Pair(tls.certificate(), "spec.tls.certificate", resources);
    if (!pair.ok()) return pair.status();
    config.certificate = *std::move(pair);
  }
  config.min_version = VersionOf(tls.min_version());
  if (spec.protocol() != v1::UPSTREAM_PROTOCOL_HTTP1) config.applications.push_back("h2");
  if (spec.protocol() != v1::UPSTREAM_PROTOCOL_HTTP2) config.applications.push_back("http/1.1");
  absl::StatusOr<std::shared_ptr<const tls::ClientContext>> context =
      tls::ClientContext::Create(config);
  if (!context.ok()) return Prefixed(context.status());
  return context;
}

}  // namespace portico::snapshot
