#include "dataplane/proxy/exchange.h"

#include <string>
#include <vector>

namespace portico::proxy {
namespace {

using LoggedField = std::pair<std::string_view, std::string_view>;

const ListenerRuntime* FindListener(const ActiveSnapshot* active, uint32_t id) {
  if (active == nullptr || id >= active->listeners.size()) return nullptr;
  const ListenerRuntime& listener = active->listeners[id];
  return listener.entry == nullptr ? nullptr : &listener;
}

// Those of `names` that are there; the array is in the arena, names and values where they
// were.
absl::Span<LoggedField> CollectFields(const http::HeaderList& headers,
                                      const std::vector<std::string>& names, base::Arena& arena) {
  if (names.empty()) return {};
  auto* const fields = arena.NewArray<LoggedField>(names.size());
  size_t count = 0;
  for (const std::string& name : names) {
    const http::HeaderField* field = headers.Find(name);
    if (field != nullptr) fields[count++] = {name, field->value};
  }
  return {fields, count};
}

std::string_view ProtocolName(http::Version version) {
  switch (version) {
    case http::Version::kHttp10:
      return "HTTP/1.0";
    case http::Version::kHttp11:
      return "HTTP/1.1";
    case http::Version::kHttp2:
      return "HTTP/2";
  }
  return "";
}

void WriteAccessLog(const Exchange& x, int64_t duration) {
  const http::RequestHead& request = x.request();
  observe::AccessRecord record;
  record.start = x.started_unix;
  record.duration_nanos = duration;
  record.upstream_duration_nanos = x.upstream_duration;
  record.client = x.client;
  record.client_port = x.client == x.connection.peer.ip ? x.connection.peer.port : 0;
  record.request_id = x.request_id;
  record.method = request.method_text;
  record.host = x.original_host;
  record.path = x.original_path;
  record.query = request.has_query;
  record.route = x.route != nullptr ? std::string_view(x.route->name()) : "";
  record.upstream = x.upstream != nullptr ? std::string_view(x.upstream->name) : "";
  record.endpoint = x.endpoint;
  record.consumer = x.policy ? x.policy->identity.consumer : "";
  record.reason = x.reason;
  record.detail = x.detail;
  record.listener = x.connection.listener_name;
  record.protocol = ProtocolName(request.version);
  if (const net::TlsInfo* tls = x.connection.tls; tls != nullptr) {
    record.tls_version = tls->version;
    if (tls->has_peer_certificate) record.tls_client = tls->peer_certificate.Identity();
  }
  const http::HeaderField* agent = request.headers.Find(http::HeaderId::kUserAgent);
  if (agent != nullptr) record.user_agent = agent->value;
  record.status = x.status;
  record.grpc_status = x.grpc_status;
  record.request_bytes = x.stream.request_body_bytes();
  record.response_bytes = x.stream.response_body_bytes();
  record.attempts = x.attempts;

  const snapshot::AccessLogEntry& config = *x.listener->access_log;
  record.request_headers = CollectFields(request.headers, config.request_headers, x.arena());
  record.response_headers = x.logged_response_fields;
  x.worker.access_log.Write(x.listener->sink, record);
}

}  // namespace

Exchange::Exchange(WorkerContext& worker, http::ServerStream& stream,
                   const http::ConnectionInfo& connection)
    : worker(worker),
      stream(stream),
      connection(connection),
      pinned(worker.active),
      listener(FindListener(pinned.get(), connection.listener_id)),
      started(worker.loop.now()),
      started_unix(worker.loop.unix_now()),
      front(&stream),
      client(connection.peer.ip),
      original_path(stream.request().path),
      original_host(stream.request().host),
      request_(stream.request()) {
  ++worker.active_requests;
  worker.metrics.requests_active_started.Add();
}

Exchange::~Exchange() {
  if (tunnel_opened != 0) {
    worker.metrics.tunnels_closed_total.Add();
    return;
  }
  --worker.active_requests;
  worker.metrics.requests_active_finished.Add();
}

void BeginTunnel(Exchange& x) {
  x.tunnel_opened = x.loop().now();
  if (x.route_deadline != nullptr) x.route_deadline->Disarm();
  --x.worker.active_requests;
  x.worker.metrics.requests_active_finished.Add();
  x.worker.metrics.tunnels_total.Add();
}

void BeginResponse(Exchange& x, const http::ResponseHead& head) {
  x.status = head.status;
  if (x.listener == nullptr || x.listener->access_log == nullptr) return;
  const absl::Span<LoggedField> fields =
      CollectFields(head.headers, x.listener->access_log->response_headers, x.arena());
  for (LoggedField& field : fields) field.second = x.arena().Copy(field.second);
  x.logged_response_fields = fields;
}

void RecordExchange(Exchange& x) {
  const int64_t duration = x.loop().now() - x.started;
  observe::ExchangeRecord record;
  if (x.route != nullptr) {
    record.route = x.route->metric_id;
    record.has_route = true;
  }
  if (x.upstream != nullptr) {
    record.upstream = x.upstream->metric_id;
    record.has_upstream = true;
  }
  record.status = x.status;
  record.grpc = x.grpc != Grpc::kNone;
  record.grpc_status = x.grpc_status;
  record.reason = x.reason;
  // How long a tunnel stays open says nothing of how long requests take.
  record.duration_nanos = x.tunnel_opened != 0 ? x.tunnel_opened - x.started : duration;
  record.upstream_duration_nanos = x.upstream_duration;
  record.request_bytes = x.stream.request_body_bytes();
  record.response_bytes = x.stream.response_body_bytes();
  x.worker.metrics.Record(record);
  if (x.listener != nullptr && x.listener->access_log != nullptr) WriteAccessLog(x, duration);
}

}  // namespace portico::proxy
