#include "controlplane/options.h"

#include <arpa/inet.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace portico::control {
namespace {

struct HostPort {
  std::string host;
  int port;
};

std::optional<HostPort> Split(const std::string& address) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos || colon == 0) return std::nullopt;
  HostPort parts{address.substr(0, colon), 0};
  if (!absl::SimpleAtoi(address.substr(colon + 1), &parts.port)) return std::nullopt;
  if (parts.port < 0 || parts.port > 65535) return std::nullopt;
  if (parts.host.size() > 2 && parts.host.front() == '[' && parts.host.back() == ']') {
    parts.host = parts.host.substr(1, parts.host.size() - 2);
  } else if (absl::StrContains(parts.host, ':')) {
    return std::nullopt;
  }
  return parts;
}

absl::Status CheckAddress(const char* flag, const std::string& address) {
  if (Split(address).has_value()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("--", flag, ": \"", address,
                                                 "\" is no address: write HOST:PORT, such as "
                                                 "127.0.0.1:7400 or [::1]:7400"));
}

absl::Status CheckPem(const char* flag, const std::string& path, const char* marker) {
  std::ifstream file(path);
  if (!file) {
    return absl::InvalidArgumentError(absl::StrCat("--", flag, ": cannot read ", path, ": ",
                                                   strerror(errno), ": check path and rights"));
  }
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (!absl::StrContains(text, marker)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--", flag, ": ", path, " holds no \"", marker, "\": give a PEM file"));
  }
  return absl::OkStatus();
}

absl::Status CheckTls(const Options& options) {
  const std::pair<const char*, const std::string*> files[] = {{"tls-cert", &options.tls_cert},
                                                              {"tls-key", &options.tls_key},
                                                              {"client-ca", &options.client_ca}};
  bool any = false;
  std::string missing;
  for (const auto& [flag, path] : files) {
    any = any || !path->empty();
    if (path->empty()) absl::StrAppend(&missing, missing.empty() ? "" : ", ", "--", flag);
  }
  if (options.insecure) {
    if (any) {
      return absl::InvalidArgumentError(
          "--insecure and TLS files exclude each other: give one or the other");
    }
    if (!options.operators.empty()) {
      return absl::InvalidArgumentError(
          "--operators needs certificates: use --tls-cert, --tls-key and --client-ca, not "
          "--insecure");
    }
    if (IsLoopback(options.grpc_address)) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat("--insecure is for loopback addresses only, and --grpc-address is ",
                     options.grpc_address, ": use --tls-cert, --tls-key and --client-ca"));
  }
  if (!missing.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(any ? "mutual TLS also needs " : "mutual TLS needs ", missing,
                     any ? "" : "; for trying out on loopback, use --insecure"));
  }
  if (auto status = CheckPem("tls-cert", options.tls_cert, "BEGIN CERTIFICATE"); !status.ok()) {
    return status;
  }
  if (auto status = CheckPem("tls-key", options.tls_key, "PRIVATE KEY"); !status.ok())
    return status;
  return CheckPem("client-ca", options.client_ca, "BEGIN CERTIFICATE");
}

}  // namespace

bool IsLoopback(const std::string& address) {
  const std::optional<HostPort> parts = Split(address);
  if (!parts.has_value()) return false;
  if (parts->host == "localhost") return true;
  in_addr v4 = {};
  if (inet_pton(AF_INET, parts->host.c_str(), &v4) == 1) return (ntohl(v4.s_addr) >> 24) == 127;
  in6_addr v6 = {};
  return inet_pton(AF_INET6, parts->host.c_str(), &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

absl::Status CheckOptions(const Options& options) {
  if (options.store.empty()) {
    return absl::InvalidArgumentError(
        "--store is missing: give the path of the file to keep the configuration in");
  }
  if (auto status = CheckAddress("grpc-address", options.grpc_address); !status.ok()) return status;
  if (!options.metrics_address.empty()) {
    if (auto status = CheckAddress("metrics-address", options.metrics_address); !status.ok()) {
      return status;
    }
  }
  if (options.keep_revisions < 1) {
    return absl::InvalidArgumentError("--keep-revisions must be at least 1");
  }
  if (options.ticket_key_rotation != absl::ZeroDuration() &&
      (options.ticket_key_rotation < absl::Minutes(1) ||
       options.ticket_key_rotation > absl::Hours(24 * 7))) {
    return absl::InvalidArgumentError(
        "--ticket-key-rotation must be 0 or from 1m to 168h: tickets live as long as the keys");
  }
  if (options.max_proxies < 1) {
    return absl::InvalidArgumentError("--max-proxies must be at least 1");
  }
  return CheckTls(options);
}

}  // namespace portico::control
