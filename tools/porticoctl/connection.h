// The way to the control plane, and what to say when it fails.
#ifndef TOOLS_PORTICOCTL_CONNECTION_H_
#define TOOLS_PORTICOCTL_CONNECTION_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "api/portico/v1/config_service.grpc.pb.h"
#include "api/portico/v1/fleet_service.grpc.pb.h"
#include "tools/porticoctl/arguments.h"
#include "tools/porticoctl/output.h"
#include "tools/porticoctl/sources.h"

namespace portico::ctl {

inline constexpr absl::Duration kCallTimeout = absl::Seconds(30);
inline constexpr absl::Duration kWaitTimeout = absl::Seconds(60);

// The services of one control plane.
struct ControlPlane {
  std::string server;
  std::unique_ptr<v1::ConfigService::StubInterface> config;
  std::unique_ptr<v1::FleetService::StubInterface> fleet;
};

// Makes the channel; nothing is sent yet. Errors: InvalidArgument, one line, for
// options that do not go together and files that cannot be read.
absl::StatusOr<ControlPlane> Connect(const ConnectionOptions& options);

// Whether "HOST:PORT" can only be this machine.
bool IsLoopback(const std::string& server);

// A context whose deadline is `timeout` from now.
std::unique_ptr<grpc::ClientContext> MakeContext(absl::Duration timeout);

// Prints why a call failed and returns the exit code: violations one per line,
// with their place in the texts where it is known.
int ReportFailure(const grpc::Status& status, const std::string& server, const Locations& locations,
                  OutputFormat format, Console& console);

// Prints violations: in the table format to standard error, one per line, else
// as an object {"violations": [...]} to standard output.
void PrintViolations(const std::vector<v1::Violation>& violations, const Locations& locations,
                     OutputFormat format, Console& console);

}  // namespace portico::ctl

#endif  // TOOLS_PORTICOCTL_CONNECTION_H_
