#include "tools/porticoctl/connection.h"

#include <arpa/inet.h>
#include <grpcpp/grpcpp.h>

#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "api/validation/validate.h"
#include "tools/porticoctl/rpc_status.pb.h"

namespace portico::ctl {
namespace {

constexpr int kMaxMessageBytes = 256 << 20;

absl::StatusOr<std::string> ReadPem(const std::string& path, const char* flag) {
  if (path.empty()) return std::string();
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (file) text << file.rdbuf();
  if (!file || text.str().find("-----BEGIN") == std::string::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat(flag, " ", path, " cannot be read as PEM; name a readable PEM file"));
  }
  return text.str();
}

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> MakeTls(
    const ConnectionOptions& options) {
  if (options.tls_cert.empty() != options.tls_key.empty()) {
    return absl::InvalidArgumentError("--tls-cert and --tls-key belong together; give both");
  }
  grpc::SslCredentialsOptions ssl;
  for (const auto& [path, flag, target] :
       {std::tuple(&options.tls_ca, "--tls-ca", &ssl.pem_root_certs),
        std::tuple(&options.tls_cert, "--tls-cert", &ssl.pem_cert_chain),
        std::tuple(&options.tls_key, "--tls-key", &ssl.pem_private_key)}) {
    absl::StatusOr<std::string> text = ReadPem(*path, flag);
    if (!text.ok()) return text.status();
    *target = *std::move(text);
  }
  return grpc::SslCredentials(ssl);
}

// The violations in a status, if it brings any.
std::vector<v1::Violation> ViolationsOf(const grpc::Status& status) {
  std::vector<v1::Violation> violations;
  RpcStatus details;
  if (!details.ParseFromString(status.error_details())) return violations;
  for (const google::protobuf::Any& any : details.details()) {
    v1::ApplyError error;
    if (any.UnpackTo(&error)) {
      violations.insert(violations.end(), error.violations().begin(), error.violations().end());
    }
  }
  return violations;
}

Json ToJson(const v1::Violation& violation, const std::string& place) {
  Json json = {{"kind", violation.resource().kind()}, {"name", violation.resource().name()},
               {"field", violation.field()},          {"value", violation.value()},
               {"reason", violation.reason()},        {"fix", violation.fix()}};
  if (!place.empty()) json["place"] = place;
  return json;
}

}  // namespace

bool IsLoopback(const std::string& server) {
  const size_t colon = server.rfind(':');
  std::string host = server.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  if (host == "localhost") return true;
  in_addr v4 = {};
  if (inet_pton(AF_INET, host.c_str(), &v4) == 1) return (ntohl(v4.s_addr) >> 24) == 127;
  in6_addr v6 = {};
  return inet_pton(AF_INET6, host.c_str(), &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

absl::StatusOr<ControlPlane> Connect(const ConnectionOptions& options) {
  std::shared_ptr<grpc::ChannelCredentials> credentials;
  if (options.insecure) {
    if (!IsLoopback(options.server)) {
      return absl::InvalidArgumentError(
          absl::StrCat("--insecure works only to a loopback address, not to ", options.server,
                       "; give --tls-ca, --tls-cert and --tls-key"));
    }
    credentials = grpc::InsecureChannelCredentials();
  } else if (options.tls_ca.empty() && options.tls_cert.empty()) {
    return absl::InvalidArgumentError(
        "the connection needs TLS; give --tls-ca, --tls-cert and --tls-key, or --insecure for a "
        "control plane on this machine");
  } else {
    absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> tls = MakeTls(options);
    if (!tls.ok()) return tls.status();
    credentials = *std::move(tls);
  }
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  // A proxy from the environment is for the web, not for the control plane.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  const std::shared_ptr<grpc::Channel> channel =
      grpc::CreateCustomChannel(options.server, credentials, arguments);
  return ControlPlane{options.server, v1::ConfigService::NewStub(channel),
                      v1::FleetService::NewStub(channel)};
}

std::unique_ptr<grpc::ClientContext> MakeContext(absl::Duration timeout) {
  auto context = std::make_unique<grpc::ClientContext>();
  context->set_deadline(gpr_time_from_millis(absl::ToInt64Milliseconds(timeout), GPR_TIMESPAN));
  return context;
}

void PrintViolations(const std::vector<v1::Violation>& violations, const Locations& locations,
                     OutputFormat format, Console& console) {
  Json list = Json::array();
  for (const v1::Violation& violation : violations) {
    const std::string place = locations.Find(
        {violation.resource().kind(), violation.resource().name()}, violation.field());
    if (format == OutputFormat::kTable) {
      console.err << (place.empty() ? "" : place + ": ") << api::ToString(violation) << "\n";
    } else {
      list.push_back(ToJson(violation, place));
    }
  }
  if (format != OutputFormat::kTable) {
    Print(Json{{"violations", std::move(list)}}, format, console.out);
  }
}

int ReportFailure(const grpc::Status& status, const std::string& server, const Locations& locations,
                  OutputFormat format, Console& console) {
  const std::string& message = status.error_message();
  switch (status.error_code()) {
    case grpc::StatusCode::UNAVAILABLE:
      console.err << "porticoctl: cannot reach the control plane at " << server << ": " << message
                  << "; is it running there? --server or PORTICO_SERVER names another address\n";
      return kExitUnreachable;
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      console.err << "porticoctl: no answer from the control plane at " << server
                  << " in time; try again, or give a longer --timeout\n";
      return kExitUnreachable;
    case grpc::StatusCode::UNIMPLEMENTED:
      console.err << "porticoctl: what answers at " << server
                  << " is no Portico control plane of this version: " << message << "\n";
      return kExitUnreachable;
    default:
      break;
  }
  const std::vector<v1::Violation> violations = ViolationsOf(status);
  if (violations.empty()) {
    console.err << "porticoctl: refused: " << message << "\n";
    return kExitRefused;
  }
  PrintViolations(violations, locations, format, console);
  console.err << "porticoctl: refused, nothing was changed: " << violations.size()
              << (violations.size() == 1 ? " violation\n" : " violations\n");
  return kExitRefused;
}

}  // namespace portico::ctl
