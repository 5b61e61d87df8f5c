#include <algorithm>

#include "absl/strings/str_cat.h"
#include "api/resource/address.h"
#include "api/validation/checks.h"

namespace portico::api {
namespace {

void CheckEndpoint(const v1::Endpoint& endpoint, const std::string& at, Duplicates& duplicates,
                   Report& report) {
  const std::string field = at + ".address";
  if (endpoint.weight() != 0) report.Range(at + ".weight", endpoint.weight(), 1, 1000);
  if (!report.Required(field, endpoint.address(),
                       "write an IP address and a port like \"10.0.0.7:8080\""))
    return;
  const absl::StatusOr<SocketAddress> address = ParseSocketAddress(endpoint.address());
  if (!address.ok()) {
    report.Add(field, endpoint.address(), address.status());
    return;
  }
  if (address->port == 0) {
    report.Add(field, endpoint.address(), "has port 0, to which nobody can connect",
               "write the server's port");
  }
  if (address->ip == IpAddress{address->ip.v6, {}}) {
    report.Add(field, endpoint.address(), "is the unspecified address, to which nobody can connect",
               "write the server's own address");
  }
  duplicates.Check(report, field, ToString(*address), endpoint.address());
}

void CheckOutliers(const v1::OutlierDetection& outliers, Report& report) {
  const std::string at = "spec.outlier_detection.";
  if (outliers.has_base_ejection_time()) {
    report.Range(at + "base_ejection_time", outliers.base_ejection_time(), absl::Milliseconds(1),
                 absl::Seconds(300));
  }
  if (outliers.max_ejection_percent() != 0) {
    report.Range(at + "max_ejection_percent", outliers.max_ejection_percent(), 1, 100);
  }
}

}  // namespace

void CheckUpstream(const v1::Upstream& upstream, Report& report) {
  if (upstream.endpoints().empty()) {
    report.Add("spec.endpoints", "", "is required and not set",
               "add an endpoint: {address: \"10.0.0.7:8080\"}");
  }
  report.AtMost("spec.endpoints", upstream.endpoints_size(), 10000, "endpoints");
  Duplicates duplicates;
  for (int i = 0; i < upstream.endpoints_size(); ++i) {
    CheckEndpoint(upstream.endpoints(i), At("spec.endpoints", i), duplicates, report);
  }
  report.Known("spec.load_balancer", upstream.load_balancer(),
               v1::LoadBalancer_IsValid(upstream.load_balancer()));
  if (upstream.has_connect_timeout()) {
    report.Range("spec.connect_timeout", upstream.connect_timeout(), absl::Milliseconds(1),
                 absl::Seconds(60));
  }
  if (upstream.has_idle_timeout()) {
    report.Range("spec.idle_timeout", upstream.idle_timeout(), absl::Milliseconds(1),
                 absl::Hours(24));
  }
  CheckOutliers(upstream.outlier_detection(), report);
  CheckUpstreamTls(upstream, report);
}

}  // namespace portico::api
