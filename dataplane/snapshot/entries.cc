#include "dataplane/snapshot/entries.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "api/resource/duration.h"

namespace portico::snapshot {
namespace {

uint32_t Or(uint32_t value, uint32_t otherwise) { return value == 0 ? otherwise : value; }

int64_t NanosOr(bool has, const google::protobuf::Duration& field, absl::Duration otherwise) {
  return absl::ToInt64Nanoseconds(api::DurationOr(has, field, otherwise));
}

uint8_t ShedPercent(v1::RoutePriority priority) {
  switch (priority) {
    case v1::ROUTE_PRIORITY_LOW:
      return 85;
    case v1::ROUTE_PRIORITY_HIGH:
      return 95;
    default:
      return 90;
  }
}

absl::Status Bad(const std::string& field, const absl::Status& why) {
  return absl::InvalidArgumentError(absl::StrCat(field, ": ", why.message()));
}

}  // namespace

absl::StatusOr<std::shared_ptr<ListenerEntry>> MakeListener(const api::StoredResource& stored) {
  const v1::Listener& spec = stored.resource.listener();
  auto entry = std::make_shared<ListenerEntry>();
  entry->name = stored.resource.name();
  entry->hash = stored.hash;
  absl::StatusOr<net::SocketAddress> address = net::SocketAddress::Parse(spec.address());
  if (!address.ok()) return Bad("spec.address", address.status());
  entry->address = *address;
  entry->proxy_protocol = spec.proxy_protocol() == v1::PROXY_PROTOCOL_REQUIRED;
  for (int i = 0; i < spec.trusted_hops_size(); ++i) {
    absl::StatusOr<net::CidrRange> range = net::CidrRange::Parse(spec.trusted_hops(i));
    if (!range.ok()) return Bad(absl::StrCat("spec.trusted_hops[", i, "]"), range.status());
    entry->trusted_hops.push_back(*range);
  }
  const v1::ConnectionLimits& limits = spec.limits();
  entry->max_header_bytes = Or(limits.max_header_bytes(), 61440);
  entry->max_header_count = Or(limits.max_header_count(), 100);
  entry->max_requests_per_connection = limits.max_requests_per_connection();
  entry->max_connections_per_address = limits.max_connections_per_address();
  if (spec.has_https_redirect()) entry->https_redirect_port = Or(spec.https_redirect().port(), 443);
  entry->max_body_bytes = limits.max_body_bytes();
  entry->header_timeout_nanos = NanosOr(limits.has_header_timeout(), limits.header_timeout(), absl::Seconds(10));
  entry->stream_idle_timeout_nanos =
      NanosOr(limits.has_stream_idle_timeout(), limits.stream_idle_timeout(), absl::Seconds(300));
  entry->idle_timeout_nanos = NanosOr(limits.has_idle_timeout(), limits.idle_timeout(), absl::Seconds(3600));
  entry->access_log = spec.access_log();
  const v1::Http2& http2 = spec.http2();
  entry->http2 = !http2.disabled();
  entry->http2_max_streams = Or(http2.max_concurrent_streams(), 100);
  entry->http2_stream_window = Or(http2.stream_window(), 65536);
  entry->http2_connection_window = Or(http2.connection_window(), 1048576);
  return entry;
}

absl::StatusOr<std::shared_ptr<UpstreamEntry>> MakeUpstream(const api::StoredResource& stored,
                                                            observe::MetricIds& ids) {
  const v1::Upstream& spec = stored.resource.upstream();
  auto entry = std::make_shared<UpstreamEntry>();
  entry->name = stored.resource.name();
  entry->hash = stored.hash;
  entry->endpoints.reserve(static_cast<size_t>(spec.endpoints_size()));
  for (int i = 0; i < spec.endpoints_size(); ++i) {
    absl::StatusOr<net::SocketAddress> address = net::SocketAddress::Parse(spec.endpoints(i).address());
    if (!address.ok()) return Bad(absl::StrCat("spec.endpoints[", i, "].address"), address.status());
    entry->endpoints.push_back({*address, Or(spec.endpoints(i).weight(), 1)});
  }
  entry->least_request = spec.load_balancer() == v1::LOAD_BALANCER_LEAST_REQUEST;
  entry->connect_timeout_nanos = NanosOr(spec.has_connect_timeout(), spec.connect_timeout(), absl::Seconds(5));
  entry->idle_timeout_nanos = NanosOr(spec.has_idle_timeout(), spec.idle_timeout(), absl::Seconds(60));
  entry->max_connections = Or(spec.circuit_breaker().max_connections(), 1024);
  entry->max_pending_requests = Or(spec.circuit_breaker().max_pending_requests(), 1024);
  entry->max_requests = Or(spec.circuit_breaker().max_requests(), 1024);
  const v1::OutlierDetection& outlier = spec.outlier_detection();
  entry->outlier_enabled = !outlier.disabled();
  entry->outlier_failures = Or(outlier.consecutive_failures(), 5);
  entry->outlier_base_ejection_nanos =
      NanosOr(outlier.has_base_ejection_time(), outlier.base_ejection_time(), absl::Seconds(30));
  entry->outlier_max_percent = Or(outlier.max_ejection_percent(), 10);
  entry->protocol = spec.protocol();
  entry->metric_id = ids.Upstream(entry->name);
  return entry;
}

std::shared_ptr<const AccessLogEntry> MakeAccessLog(const api::StoredResource& stored) {
  const v1::AccessLog& spec = stored.resource.access_log();
  auto entry = std::make_shared<AccessLogEntry>();
  entry->name = stored.resource.name();
  entry->path = spec.path();
  for (const std::string& name : spec.request_headers()) {
    entry->request_headers.push_back(absl::AsciiStrToLower(name));
  }
  for (const std::string& name : spec.response_headers()) {
    entry->response_headers.push_back(absl::AsciiStrToLower(name));
  }
  return entry;
}

std::shared_ptr<RouteDetails> MakeRouteDetails(const api::StoredResourcePtr& stored) {
  const v1::Route& spec = stored->resource.route();
  auto details = std::make_shared<RouteDetails>();
  details->name = stored->resource.name();
  details->resource = stored;
  if (!spec.rewrite().prefix().empty()) {
    details->has_rewrite_prefix = true;
    details->match_prefix = spec.match().path().prefix();
    details->rewrite_prefix = spec.rewrite().prefix();
  }
  details->rewrite_host = spec.rewrite().host();
  details->grpc_web = spec.grpc_web();
  return details;
}

RouteEntry MakeRoute(std::shared_ptr<const RouteDetails> details, observe::MetricIds& ids) {
  const v1::Route& spec = details->resource->resource.route();
  RouteEntry entry;
  if (details->targets.size() == 1) entry.upstream = details->targets[0].upstream;
  entry.policies = details->policies.get();
  entry.timeout_nanos = NanosOr(spec.has_timeout(), spec.timeout(), absl::Seconds(15));
  entry.max_body_bytes = spec.max_body_bytes();
  entry.metric_id = ids.Route(details->name);
  entry.attempts =
      static_cast<uint16_t>(std::min<uint32_t>(Or(spec.retry().attempts(), 2), UINT16_MAX));
  entry.shed_percent = ShedPercent(spec.priority());
  entry.has_respond = details->respond != nullptr;
  entry.has_rewrite = details->has_rewrite_prefix || !details->rewrite_host.empty();
  entry.details = std::move(details);
  return entry;
}

RespondEntry MakeRespond(const v1::Route& spec) {
  RespondEntry entry;
  entry.status = static_cast<int>(spec.respond().status());
  entry.body = spec.respond().body();
  entry.content_type = spec.respond().content_type().empty() ? "text/plain; charset=utf-8"
                                                             : spec.respond().content_type();
  return entry;
}

}  // namespace portico::snapshot
