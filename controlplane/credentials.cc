#include "controlplane/credentials.h"

#include <grpcpp/grpcpp.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <fstream>
#include <iterator>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

namespace portico::control {
namespace {

constexpr unsigned kReloadSeconds = 60;

std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// gRPC says only at the first handshake that a key does not fit its certificate. A server on a free
// loopback port, gone at once, tells before anybody relies on it.
bool FitTogether(const Options& options) {
  grpc::SslServerCredentialsOptions ssl;
  ssl.pem_root_certs = ReadFile(options.client_ca);
  ssl.pem_key_cert_pairs.push_back({ReadFile(options.tls_key), ReadFile(options.tls_cert)});
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::SslServerCredentials(ssl), &port);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  return server != nullptr && port != 0;
}

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> MakeCredentials(const Options& options) {
  if (options.insecure) return grpc::InsecureServerCredentials();
  if (!FitTogether(options)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--tls-cert ", options.tls_cert, ", --tls-key ", options.tls_key, " and --client-ca ",
        options.client_ca,
        " do not fit together: check that the key belongs to the certificate and that all "
        "are PEM files"));
  }
  grpc::experimental::TlsServerCredentialsOptions tls(
      std::make_shared<grpc::experimental::FileWatcherCertificateProvider>(
          options.tls_key, options.tls_cert, options.client_ca, kReloadSeconds));
  tls.watch_root_certs();
  tls.watch_identity_key_cert_pairs();
  tls.set_cert_request_type(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  return grpc::experimental::TlsServerCredentials(tls);
}

}  // namespace portico::control
