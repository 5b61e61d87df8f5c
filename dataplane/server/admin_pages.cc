#include "dataplane/server/admin_pages.h"

#include <iterator>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "absl/strings/match.h"
#include "absl/time/time.h"
#include "api/resource/resource.h"
#include "api/resource/text.h"
#include "dataplane/net/address.h"
#include "prometheus/text_serializer.h"

namespace portico::server {
namespace {

std::string Dump(const nlohmann::json& json) {
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

AdminResponse Error(int status, std::string_view reason, std::string_view message) {
  AdminResponse response;
  response.status = status;
  response.body = Dump({{"error", message}, {"reason", reason}});
  return response;
}

}  // namespace

bool IsLoopbackHost(const std::string& host) {
  std::string name = host;
  if (!name.empty() && name.front() == '[') {
    const size_t end = name.find(']');
    if (end == std::string::npos) return false;
    name = name.substr(1, end - 1);
  } else {
    name = name.substr(0, name.find(':'));
  }
  if (absl::EqualsIgnoreCase(name, "localhost")) return true;
  const absl::StatusOr<net::IpAddress> ip = net::IpAddress::Parse(name);
  if (!ip.ok()) return false;
  return ip->is_v6() ? ip->ToString() == "::1" : ip->bytes()[0] == 127;
}

AdminResponse AdminPages::Answer(const AdminRequest& request) const {
  // A web page that makes its own name point here (DNS rebinding) shows that name.
  if (request.host && !IsLoopbackHost(*request.host)) {
    return Error(403, "host_not_loopback",
                 "the admin endpoint answers to loopback names only: use localhost or 127.0.0.1");
  }
  const bool reads = request.method == "GET" || request.method == "HEAD";
  if (request.path == "/drain") {
    if (request.method != "POST") {
      AdminResponse response =
          Error(405, "method_not_allowed", "draining changes the proxy: send a POST");
      response.allow = "POST";
      return response;
    }
    if (request.origin) {
      return Error(403, "browser_not_allowed", "web pages may not drain a proxy");
    }
    return Drain();
  }
  const bool known = request.path == "/ready" || request.path == "/live" ||
                     request.path == "/metrics" || request.path == "/config";
  if (!known) {
    return Error(404, "no_such_page",
                 "there are GET /ready, /live, /metrics, /config and POST /drain");
  }
  if (!reads) {
    AdminResponse response =
        Error(405, "method_not_allowed", "this page is for reading: send a GET");
    response.allow = "GET, HEAD";
    return response;
  }
  if (request.path == "/ready") return Ready();
  if (request.path == "/metrics") return Metrics();
  if (request.path == "/config") return Config(request);
  AdminResponse live;
  live.body = Dump({{"live", true}});
  return live;
}

AdminResponse AdminPages::Ready() const {
  const auto snapshot = hooks_.Live();
  AdminResponse response;
  if (hooks_.Ready() && snapshot != nullptr) {
    response.body = Dump({{"ready", true}, {"revision", snapshot->revision}});
    return response;
  }
  response.status = 503;
  response.body =
      snapshot == nullptr
          ? Dump({{"ready", false},
                  {"reason", "no_revision"},
                  {"error", "no complete revision of the configuration is live yet"}})
          : Dump({{"ready", false}, {"reason", "draining"}, {"error", "the proxy is draining"}});
  return response;
}

AdminResponse AdminPages::Metrics() const {
  std::vector<prometheus::MetricFamily> families;
  for (const auto& collectable : collectables_) {
    std::vector<prometheus::MetricFamily> more = collectable->Collect();
    families.insert(families.end(), std::make_move_iterator(more.begin()),
                    std::make_move_iterator(more.end()));
  }
  AdminResponse response;
  response.content_type = "text/plain; version=0.0.4; charset=utf-8";
  response.body = prometheus::TextSerializer().Serialize(families);
  return response;
}

AdminResponse AdminPages::Config(const AdminRequest& request) const {
  const auto snapshot = hooks_.Live();
  if (snapshot == nullptr) {
    return Error(503, "no_revision", "no complete revision of the configuration is live yet");
  }
  AdminResponse response;
  // The resources are put between the brackets as the text library writes them: a
  // hundred thousand of them are not parsed once more.
  std::string head =
      nlohmann::json{
          {"revision", snapshot->revision},
          {"checksum", api::ToHex(snapshot->checksum)},
          {"built_at",
           absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", absl::FromUnixNanos(snapshot->built_at),
                            absl::UTCTimeZone())},
      }
          .dump();
  head.pop_back();
  response.body = head + ",\"resources\":[";
  bool first = true;
  for (const auto& [key, stored] : snapshot->resources) {
    if (request.kind && key.kind != *request.kind) continue;
    if (request.name && key.name != *request.name) continue;
    response.body += first ? "\n" : ",\n";
    first = false;
    response.body += api::ToJson(api::Redacted(stored->resource), /*pretty=*/false);
  }
  response.body += "\n]}\n";
  return response;
}

AdminResponse AdminPages::Drain() const {
  hooks_.RequestDrain();
  AdminResponse response;
  response.status = 202;
  response.body = Dump({{"draining", true}});
  return response;
}

}  // namespace portico::server
