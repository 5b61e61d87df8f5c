#include <openssl/err.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "dataplane/tls/client_hello.h"
#include "dataplane/tls/server_context_impl.h"
#include "dataplane/tls/settings.h"

namespace portico::tls {
namespace {

// All that a session is granted under, for a hash: each part with its length.
std::string Canonical(const ClientAuthentication& authentication) {
  std::string text = absl::StrCat(static_cast<int>(authentication.mode), ";");
  const auto add = [&text](std::string_view part) {
    absl::StrAppend(&text, part.size(), ":", absl::string_view(part.data(), part.size()));
  };
  add(authentication.ca_pem);
  for (const std::string& name : authentication.subject_alt_names) add(name);
  text += ';';
  for (const std::string& fingerprint : authentication.fingerprints) add(fingerprint);
  return text;
}

template <typename Map>
auto Lookup(const Map& exact, const Map& wildcard, std::string_view name) {
  auto found = exact.find(absl::string_view(name.data(), name.size()));
  if (found != exact.end()) return &found->second;
  const std::string_view rest = WithoutFirstLabel(name);
  if (rest.empty()) return static_cast<decltype(&found->second)>(nullptr);
  found = wildcard.find(absl::string_view(rest.data(), rest.size()));
  return found == wildcard.end() ? nullptr : &found->second;
}

std::string_view WithoutDot(std::string_view name) {
  if (name.ends_with('.')) name.remove_suffix(1);
  return name;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const ServerContext>> ServerContext::Create(
    const ServerConfig& config) {
  auto context = std::make_shared<ServerContextImpl>();
  if (absl::Status status = context->Init(config); !status.ok()) return status;
  return context;
}

absl::Status ServerContextImpl::Init(const ServerConfig& config) {
  http2_ = config.http2;
  tickets_ = std::make_unique<TicketKeys>(config.ticket_secrets);
  if (absl::Status status = AddCertificates(config); !status.ok()) return status;
  AddNames();
  if (absl::Status status =
          AddAuthentication(config.client_authentication, "the listener's client authentication");
      !status.ok()) {
    return status;
  }
  for (const ServerConfig::ServerName& entry : config.server_names) {
    const int place = static_cast<int>(authentications_.size());
    for (const std::string& name : entry.names) {
      if (name.starts_with("*.")) {
        authentication_wildcard_.emplace(name.substr(2), place);
      } else {
        authentication_exact_.emplace(name, place);
      }
    }
    const std::string what =
        absl::StrCat("client authentication of \"",
                     entry.names.empty() ? std::string() : entry.names.front(), "\"");
    if (absl::Status status = AddAuthentication(entry.client_authentication, what); !status.ok())
      return status;
  }
  return absl::OkStatus();
}

absl::StatusOr<bssl::UniquePtr<SSL_CTX>> ServerContextImpl::NewContext(const Identity& identity,
                                                                       Version min_version) {
  bssl::UniquePtr<SSL_CTX> context(SSL_CTX_new(TLS_with_buffers_method()));
  SSL_CTX* const ctx = context.get();
  if (!context || !ApplySettings(ctx, min_version, kServerCurves)) {
    return absl::InternalError(absl::StrCat("BoringSSL refuses the settings: ", TakeError()));
  }
  SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
  if (tickets_->empty()) {
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
  } else {
    SSL_CTX_set_tlsext_ticket_key_cb(ctx, &OnTicket);
  }
  SSL_CTX_set_select_certificate_cb(ctx, &OnClientHello);
  SSL_CTX_set_alpn_select_cb(ctx, &ChooseApplication, this);
  if (absl::Status status = UseIdentity(ctx, identity); !status.ok()) return status;
  return context;
}

absl::Status ServerContextImpl::AddCertificates(const ServerConfig& config) {
  if (config.certificates.empty()) return absl::InvalidArgumentError("there is no certificate");
  for (const CertificatePair& pair : config.certificates) {
    absl::StatusOr<Identity> identity = ParseIdentity(pair);
    if (!identity.ok()) return identity.status();
    absl::StatusOr<bssl::UniquePtr<SSL_CTX>> context = NewContext(*identity, config.min_version);
    if (!context.ok()) return context.status();
    expiries_.push_back({identity->name, identity->not_after});
    certificates_.push_back({*std::move(identity), *std::move(context)});
  }
  return absl::OkStatus();
}

absl::Status ServerContextImpl::AddAuthentication(const ClientAuthentication& authentication,
                                                  const std::string& what) {
  Authentication out;
  out.mode = authentication.mode;
  out.hash = Sha256(Canonical(authentication));
  if (out.mode != ClientAuthentication::Mode::kOff) {
    PeerVerifier::Rules rules;
    rules.ca_pem = authentication.ca_pem;
    rules.names = authentication.subject_alt_names;
    rules.fingerprints = authentication.fingerprints;
    auto verifier = PeerVerifier::Create(PeerVerifier::Peer::kClient, rules, what);
    if (!verifier.ok()) return verifier.status();
    out.verifier = *std::move(verifier);
  }
  authentications_.push_back(std::move(out));
  return absl::OkStatus();
}

void ServerContextImpl::AddTo(CertificateSet& set, int place) const {
  int& slot =
      certificates_[static_cast<size_t>(place)].identity.ecdsa_algorithm != 0 ? set.ecdsa : set.rsa;
  if (slot == CertificateSet::kNone) slot = place;
}

void ServerContextImpl::Seal(CertificateSet& set) const {
  std::string all;
  for (const int place : {set.ecdsa, set.rsa}) {
    if (place == CertificateSet::kNone) continue;
    for (const bssl::UniquePtr<CRYPTO_BUFFER>& der :
         certificates_[static_cast<size_t>(place)].identity.chain) {
      absl::StrAppend(&all, CRYPTO_BUFFER_len(der.get()), ":");
      all.append(reinterpret_cast<const char*>(CRYPTO_BUFFER_data(der.get())),
                 CRYPTO_BUFFER_len(der.get()));
    }
    all += ';';
  }
  set.hash = Sha256(all);
}

void ServerContextImpl::AddNames() {
  const std::vector<std::string>& first = certificates_.front().identity.dns_names;
  for (size_t i = 0; i < certificates_.size(); ++i) {
    const int place = static_cast<int>(i);
    const std::vector<std::string>& names = certificates_[i].identity.dns_names;
    // Without a name that fits: the first of the list, and its like with another key.
    if (i == 0 || std::is_permutation(names.begin(), names.end(), first.begin(), first.end())) {
      AddTo(default_set_, place);
    }
    for (const std::string& name : names) {
      if (name.starts_with("*.")) {
        AddTo(wildcard_[name.substr(2)], place);
      } else {
        AddTo(exact_[name], place);
      }
    }
  }
  Seal(default_set_);
  for (auto& [name, set] : exact_) Seal(set);
  for (auto& [name, set] : wildcard_) Seal(set);
}

const CertificateSet& ServerContextImpl::SetFor(std::string_view name) const {
  const CertificateSet* found = Lookup(exact_, wildcard_, name);
  return found == nullptr ? default_set_ : *found;
}

int ServerContextImpl::ClientAuthenticationFor(std::string_view host) const {
  if (authentications_.size() == 1) return 0;
  const int* found = Lookup(authentication_exact_, authentication_wildcard_, WithoutDot(host));
  return found == nullptr ? 0 : *found;
}

ssl_select_cert_result_t ServerContextImpl::OnClientHello(const SSL_CLIENT_HELLO* hello) {
  auto& state = *static_cast<ConnectionState*>(SSL_get_app_data(hello->ssl));
  state.server->Choose(*hello, state);
  return ssl_select_cert_success;
}

void ServerContextImpl::Choose(const SSL_CLIENT_HELLO& hello, ConnectionState& state) const {
  SSL* const ssl = hello.ssl;
  const char* asked = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  const std::string lower = LowerCase(asked == nullptr ? "" : asked);
  const std::string_view name = WithoutDot(lower);
  const CertificateSet& set = SetFor(name);
  state.set = &set;
  int place = set.rsa;
  if (set.ecdsa != CertificateSet::kNone) {
    const Identity& identity = certificates_[static_cast<size_t>(set.ecdsa)].identity;
    if (place == CertificateSet::kNone ||
        TakesEcdsa(hello, identity.ecdsa_algorithm, identity.curve))
      place = set.ecdsa;
  }
  SSL_set_SSL_CTX(ssl, certificates_[static_cast<size_t>(place)].context.get());

  state.client_authentication = ClientAuthenticationFor(name);
  const Authentication& authentication =
      authentications_[static_cast<size_t>(state.client_authentication)];
  state.binding = set.hash + authentication.hash;
  const std::string id = Sha256(state.binding);
  SSL_set_session_id_context(ssl, reinterpret_cast<const uint8_t*>(id.data()), id.size());
  if (authentication.verifier == nullptr) return;
  state.verifier = authentication.verifier.get();
  int mode = SSL_VERIFY_PEER;
  state.certificate_required = authentication.mode == ClientAuthentication::Mode::kRequired;
  if (state.certificate_required) mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
  SSL_set_custom_verify(ssl, mode, &VerifyPeer);
  SSL_set0_client_CAs(ssl, authentication.verifier->Authorities().release());
}

int ServerContextImpl::ChooseApplication(SSL*, const uint8_t** out, uint8_t* out_size,
                                         const uint8_t* in, unsigned in_size, void* self) {
  constexpr std::string_view kHttp2 = "h2", kHttp1 = "http/1.1";
  const std::string_view offered(reinterpret_cast<const char*>(in), in_size);
  for (const std::string_view wanted : {kHttp2, kHttp1}) {
    if (wanted == kHttp2 && !static_cast<ServerContextImpl*>(self)->http2_) continue;
    for (size_t at = 0; at < offered.size(); at += 1 + static_cast<uint8_t>(offered[at])) {
      const std::string_view one = offered.substr(at + 1, static_cast<uint8_t>(offered[at]));
      if (one != wanted) continue;
      *out = reinterpret_cast<const uint8_t*>(one.data());
      *out_size = static_cast<uint8_t>(one.size());
      return SSL_TLSEXT_ERR_OK;
    }
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

int ServerContextImpl::OnTicket(SSL* ssl, uint8_t* key_name, uint8_t* iv, EVP_CIPHER_CTX* cipher,
                                HMAC_CTX* hmac, int encrypt) {
  const auto& state = *static_cast<ConnectionState*>(SSL_get_app_data(ssl));
  const TicketKeys& keys = *state.server->tickets_;
  if (encrypt != 0) return keys.Encrypt(state.binding, key_name, iv, cipher, hmac);
  return keys.Decrypt(state.binding, key_name, iv, cipher, hmac);
}

}  // namespace portico::tls
