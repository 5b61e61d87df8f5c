#include "absl/strings/str_cat.h"
#include "api/resource/address.h"
#include "api/validation/checks.h"

namespace portico::api {
namespace {

void CheckLimits(const v1::ConnectionLimits& limits, Report& report) {
  const std::string at = "spec.limits.";
  if (limits.max_header_bytes() != 0)
    report.Range(at + "max_header_bytes", limits.max_header_bytes(), 1024, 1048576);
  if (limits.max_header_count() != 0)
    report.Range(at + "max_header_count", limits.max_header_count(), 1, 1000);
  const auto time = [&](const char* field, bool has, const google::protobuf::Duration& value) {
    if (has) report.Range(at + field, value, absl::Milliseconds(1), absl::Hours(24));
  };
  time("header_timeout", limits.has_header_timeout(), limits.header_timeout());
  time("stream_idle_timeout", limits.has_stream_idle_timeout(), limits.stream_idle_timeout());
  time("idle_timeout", limits.has_idle_timeout(), limits.idle_timeout());
}

void CheckRedirect(const v1::Listener& listener, Report& report) {
  if (!listener.has_https_redirect()) return;
  if (listener.https_redirect().port() != 0)
    report.Range("spec.https_redirect.port", listener.https_redirect().port(), 1, 65535);
  if (listener.has_tls()) {
    report.Add("spec.https_redirect", "",
               "stands beside tls: requests that came by https would be "
               "sent to https again",
               "remove one of the two, or redirect from another listener");
  }
}

void CheckHttp2(const v1::Http2& http2, Report& report) {
  const std::string at = "spec.http2.";
  if (http2.max_concurrent_streams() != 0)
    report.Range(at + "max_concurrent_streams", http2.max_concurrent_streams(), 1, 1000);
  constexpr uint64_t kLeast = 65535;
  constexpr uint64_t kMost = 16777216;
  if (http2.stream_window() != 0)
    report.Range(at + "stream_window", http2.stream_window(), kLeast, kMost);
  if (http2.connection_window() != 0)
    report.Range(at + "connection_window", http2.connection_window(), kLeast, kMost);
}

}  // namespace

void CheckListener(const v1::Listener& listener, Report& report) {
  if (report.Required("spec.address", listener.address(),
                      "write an IP address and a port like \"0.0.0.0:8080\"")) {
    report.Add("spec.address", listener.address(), ParseSocketAddress(listener.address()).status());
  }
  report.Known("spec.proxy_protocol", listener.proxy_protocol(),
               v1::ProxyProtocol_IsValid(listener.proxy_protocol()));
  report.AtMost("spec.trusted_hops", listener.trusted_hops_size(), 1000, "ranges");
  Duplicates duplicates;
  for (int i = 0; i < listener.trusted_hops_size(); ++i) {
    const std::string field = At("spec.trusted_hops", i);
    const std::string& text = listener.trusted_hops(i);
    const absl::StatusOr<Cidr> range = ParseCidr(text);
    report.Add(field, text, range.status());
    if (range.ok()) duplicates.Check(report, field, ToString(*range), text);
  }
  CheckLimits(listener.limits(), report);
  CheckRedirect(listener, report);
  if (listener.has_tls()) CheckListenerTls(listener.tls(), report);
  CheckHttp2(listener.http2(), report);
}

}  // namespace portico::api
