#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "dataplane/tls/certificates.h"
#include "dataplane/tls/client_context_impl.h"
#include "dataplane/tls/connection.h"
#include "dataplane/tls/names.h"
#include "dataplane/tls/settings.h"

namespace portico::tls {
namespace {

absl::StatusOr<PeerVerifier::Rules> RulesOf(const ClientConfig& config,
                                            const std::optional<std::string>& address) {
  PeerVerifier::Rules rules;
  rules.any_issuer = !config.verify;
  if (!config.verify) return rules;
  rules.ca_pem = config.ca_pem;
  rules.names = config.subject_alt_names;
  if (!rules.names.empty()) return rules;
  if (config.server_name.empty()) {
    return absl::InvalidArgumentError(
        "without a server name the certificate's name cannot be checked");
  }
  if (address.has_value()) {
    rules.address = *address;
  } else {
    rules.names.push_back(config.server_name);
  }
  return rules;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const ClientContext>> ClientContext::Create(
    const ClientConfig& config) {
  auto context = std::make_shared<ClientContextImpl>();
  if (absl::Status status = context->Init(config); !status.ok()) return status;
  return context;
}

absl::Status ClientContextImpl::Init(const ClientConfig& config) {
  const std::optional<std::string> address = AddressBytes(config.server_name);
  if (!address.has_value()) server_name_ = config.server_name;
  absl::StatusOr<PeerVerifier::Rules> rules = RulesOf(config, address);
  if (!rules.ok()) return rules.status();
  auto verifier = PeerVerifier::Create(PeerVerifier::Peer::kServer, *rules, "the CA bundle");
  if (!verifier.ok()) return verifier.status();
  verifier_ = *std::move(verifier);

  context_.reset(SSL_CTX_new(TLS_with_buffers_method()));
  SSL_CTX* const ctx = context_.get();
  if (ctx == nullptr || !ApplySettings(ctx, config.min_version, kClientCurves)) {
    return absl::InternalError(absl::StrCat("BoringSSL refuses the settings: ", TakeError()));
  }
  SSL_CTX_set_custom_verify(ctx, SSL_VERIFY_PEER, &VerifyPeer);
  SSL_CTX_set_reverify_on_resume(ctx, 1);
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(ctx, &OnNewSession);
  std::string applications;
  for (const std::string& application : config.applications) {
    applications += static_cast<char>(application.size());
    applications += application;
  }
  if (!applications.empty() &&
      SSL_CTX_set_alpn_protos(ctx, reinterpret_cast<const uint8_t*>(applications.data()),
                              applications.size()) != 0) {
    return absl::InvalidArgumentError("the list of application protocols is not valid");
  }
  if (!config.certificate.has_value()) return absl::OkStatus();
  absl::StatusOr<Identity> identity = ParseIdentity(*config.certificate);
  if (!identity.ok()) return identity.status();
  return UseIdentity(ctx, *identity);
}

SSL* ClientContextImpl::NewConnection() const {
  SSL* const ssl = SSL_new(context_.get());
  if (ssl != nullptr && !server_name_.empty()) SSL_set_tlsext_host_name(ssl, server_name_.c_str());
  return ssl;
}

int ClientContextImpl::OnNewSession(SSL* ssl, SSL_SESSION* session) {
  const auto& state = *static_cast<ConnectionState*>(SSL_get_app_data(ssl));
  state.client->sessions().Add(state.peer, bssl::UniquePtr<SSL_SESSION>(session));
  return 1;
}

}  // namespace portico::tls
