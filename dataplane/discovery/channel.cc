#include "dataplane/discovery/channel.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include <fstream>
#include <optional>
#include <sstream>
#include <string_view>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "dataplane/net/address.h"

namespace portico::discovery_client {
namespace {

struct HostPort {
  std::string host;
  uint32_t port = 0;
};

std::optional<HostPort> Split(const std::string& address) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos || colon == 0) return std::nullopt;
  HostPort result;
  result.host = address.substr(0, colon);
  if (!absl::SimpleAtoi(address.substr(colon + 1), &result.port)) return std::nullopt;
  if (result.port == 0 || result.port > 65535) return std::nullopt;
  const bool brackets = result.host.front() == '[' && result.host.back() == ']';
  if (brackets) result.host = result.host.substr(1, result.host.size() - 2);
  // Nothing that gRPC would take for another scheme ("unix:", "dns:", "xds:").
  if (result.host.find_first_of(brackets ? "[]/" : "[]/:") != std::string::npos)
    return std::nullopt;
  if (result.host.empty()) return std::nullopt;
  return result;
}

bool IsLoopback(const std::string& host) {
  if (host == "localhost") return true;
  const absl::StatusOr<net::IpAddress> ip = net::IpAddress::Parse(host);
  if (!ip.ok()) return false;
  if (!ip->is_v6()) return ip->bytes()[0] == 127;
  return ip->ToString() == "::1";
}

absl::StatusOr<std::string> ReadFile(const char* option, const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file || text.str().empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(option, " \"", path,
                     "\" cannot be read or is empty: give a PEM file that the proxy's user "
                     "may read"));
  }
  return text.str();
}

}  // namespace

absl::Status CheckChannelOptions(const ChannelOptions& options) {
  const std::optional<HostPort> target = Split(options.address);
  if (!target) {
    return absl::InvalidArgumentError(
        absl::StrCat("control plane address \"", options.address,
                     "\": write host:port, for example 10.0.0.5:7400"));
  }
  const bool any_file =
      !options.ca_file.empty() || !options.certificate_file.empty() || !options.key_file.empty();
  if (options.insecure) {
    if (any_file) {
      return absl::InvalidArgumentError(
          "both TLS files and \"insecure\" are given for the control plane: leave one out");
    }
    if (!IsLoopback(target->host)) {
      return absl::InvalidArgumentError(
          absl::StrCat("control plane address \"", options.address,
                       "\" without TLS: only loopback addresses may be used insecurely; give the "
                       "CA, certificate and key files"));
    }
    return absl::OkStatus();
  }
  if (options.ca_file.empty() || options.certificate_file.empty() || options.key_file.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("control plane address \"", options.address,
                     "\": give the CA, certificate and key files for mutual TLS"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<grpc::Channel>> MakeChannel(const ChannelOptions& options) {
  if (absl::Status status = CheckChannelOptions(options); !status.ok()) return status;
  grpc::ChannelArguments arguments;
  // A channel of ours is used for one stream; a new one must not inherit the wait of
  // the one before.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
  arguments.SetMaxReceiveMessageSize(static_cast<int>(options.max_message_bytes));
  if (options.insecure) {
    return grpc::CreateCustomChannel(options.address, grpc::InsecureChannelCredentials(),
                                     arguments);
  }
  absl::StatusOr<std::string> ca = ReadFile("CA file", options.ca_file);
  if (!ca.ok()) return ca.status();
  absl::StatusOr<std::string> certificate = ReadFile("certificate file", options.certificate_file);
  if (!certificate.ok()) return certificate.status();
  absl::StatusOr<std::string> key = ReadFile("key file", options.key_file);
  if (!key.ok()) return key.status();
  if (!options.server_name.empty()) arguments.SetSslTargetNameOverride(options.server_name);
  grpc::SslCredentialsOptions tls;
  tls.pem_root_certs = *std::move(ca);
  tls.pem_cert_chain = *std::move(certificate);
  tls.pem_private_key = *std::move(key);
  return grpc::CreateCustomChannel(options.address, grpc::SslCredentials(tls), arguments);
}

}  // namespace portico::discovery_client
