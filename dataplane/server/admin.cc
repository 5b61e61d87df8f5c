#include "dataplane/server/admin.h"

#include <civetweb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <future>
#include <mutex>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "dataplane/base/log.h"
#include "dataplane/observe/process_metrics.h"

namespace portico::server {
namespace {

constexpr long long kMaxBodyBytes = 64 * 1024;

std::optional<std::string> Header(const mg_connection* connection, const char* name) {
  const char* value = mg_get_header(connection, name);
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

std::optional<std::string> Parameter(const mg_request_info& info, const char* name) {
  if (info.query_string == nullptr) return std::nullopt;
  const std::string query = info.query_string;
  std::array<char, 512> value;
  const int size = mg_get_var(query.data(), query.size(), name, value.data(), value.size());
  // Too long for any name: nothing is called that.
  if (size == -2) return query;
  if (size < 0) return std::nullopt;
  return std::string(value.data(), static_cast<size_t>(size));
}

std::string_view ReasonOf(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 202:
      return "Accepted";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 503:
      return "Service Unavailable";
    default:
      return "Error";
  }
}

// Connects and hangs up.
void Poke(const net::SocketAddress& address) {
  sockaddr_storage target{};
  const socklen_t size = address.ToSockaddr(target);
  const int descriptor = socket(target.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (descriptor < 0) return;
  // Whether it succeeds does not matter: the listening socket may be closed already.
  (void)connect(descriptor, reinterpret_cast<const sockaddr*>(&target), size);
  close(descriptor);
}

class CivetAdminServer final : public AdminServer {
 public:
  CivetAdminServer(AdminHooks& hooks,
                   std::vector<std::shared_ptr<const prometheus::Collectable>> collectables)
      : pages_(hooks, std::move(collectables)) {}
  ~CivetAdminServer() override { Stop(); }

  absl::Status Listen(const net::SocketAddress& address);
  net::SocketAddress address() const override { return address_; }
  void Stop() override;

 private:
  static int OnRequest(mg_connection* connection);
  int Answer(mg_connection* connection, const mg_request_info& info) const;

  const AdminPages pages_;
  net::SocketAddress address_;
  std::mutex mutex_;  // Guards what follows.
  mg_context* context_ = nullptr;
};

void CivetAdminServer::Stop() {
  std::lock_guard lock(mutex_);
  if (context_ == nullptr) return;
  std::future<void> stopped = std::async(
      std::launch::async, [context = std::exchange(context_, nullptr)] { mg_stop(context); });
  // The library looks whether it shall stop when a connection comes, or every 2 s.
  while (stopped.wait_for(std::chrono::milliseconds(10)) != std::future_status::ready) {
    Poke(address_);
  }
}

int CivetAdminServer::OnRequest(mg_connection* connection) {
  const mg_request_info* info = mg_get_request_info(connection);
  return static_cast<const CivetAdminServer*>(info->user_data)->Answer(connection, *info);
}

int CivetAdminServer::Answer(mg_connection* connection, const mg_request_info& info) const {
  AdminRequest request;
  request.method = info.request_method == nullptr ? "" : info.request_method;
  request.path = info.local_uri == nullptr ? "" : info.local_uri;
  request.host = Header(connection, "Host");
  request.origin = Header(connection, "Origin");
  request.kind = Parameter(info, "kind");
  request.name = Parameter(info, "name");
  // No page takes a body; reading a small one lets the answer arrive before the
  // connection is closed.
  std::array<char, 4096> ignored;
  for (long long left = std::min(info.content_length, kMaxBodyBytes); left > 0;) {
    const int got = mg_read(connection, ignored.data(),
                            std::min<size_t>(ignored.size(), static_cast<size_t>(left)));
    if (got <= 0) break;
    left -= got;
  }

  const AdminResponse response = pages_.Answer(request);
  const std::string head = absl::StrCat(
      "HTTP/1.1 ", response.status, " ", std::string(ReasonOf(response.status)),
      "\r\nContent-Type: ", response.content_type, "\r\nContent-Length: ", response.body.size(),
      response.allow.empty() ? "" : "\r\nAllow: ", response.allow,
      "\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: "
      "close\r\n\r\n");
  mg_write(connection, head.data(), head.size());
  if (request.method != "HEAD") mg_write(connection, response.body.data(), response.body.size());
  return response.status;
}

absl::Status CivetAdminServer::Listen(const net::SocketAddress& address) {
  const std::string where = address.ToString();
  const std::array<const char*, 13> options = {
      "listening_ports",
      where.c_str(),
      "num_threads",
      "4",
      "request_timeout_ms",
      "10000",
      "enable_keep_alive",
      "no",
      "max_request_size",
      "8192",
      "linger_timeout_ms",
      "1000",
      nullptr,
  };
  mg_callbacks callbacks{};
  callbacks.begin_request = &CivetAdminServer::OnRequest;
  callbacks.log_message = [](const mg_connection*, const char* message) {
    base::Log(base::Severity::kWarning, "admin", message);
    return 1;
  };
  mg_init_data init{};
  init.callbacks = &callbacks;
  init.user_data = this;
  // The library wants the options as a pointer to non-const pointers; it only reads.
  init.configuration_options = const_cast<const char**>(options.data());
  std::array<char, 256> text{};
  mg_error_data error{};
  error.text = text.data();
  error.text_buffer_size = text.size();
  std::lock_guard lock(mutex_);
  context_ = mg_start2(&init, &error);
  if (context_ == nullptr) {
    return absl::UnavailableError(absl::StrCat("admin address ", where, " cannot be listened on: ",
                                               text[0] == '\0' ? "no reason given" : text.data(),
                                               "; give another port, or 0 for a free one"));
  }
  mg_server_port port{};
  if (mg_get_server_ports(context_, 1, &port) != 1) {
    return absl::InternalError("the admin endpoint does not know its own port");
  }
  address_ = address;
  address_.port = static_cast<uint16_t>(port.port);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<AdminServer>> AdminServer::Start(
    const net::SocketAddress& address, AdminHooks& hooks,
    std::vector<std::shared_ptr<const prometheus::Collectable>> collectables) {
  const bool loopback =
      address.ip.is_v6() ? address.ip.ToString() == "::1" : address.ip.bytes()[0] == 127;
  if (!loopback) {
    return absl::InvalidArgumentError(absl::StrCat(
        "admin address ", address.ToString(),
        " is not loopback: the admin endpoint has no login, so give 127.0.0.1 or [::1]"));
  }
  collectables.push_back(std::make_shared<observe::ProcessCollector>());
  auto server = std::make_unique<CivetAdminServer>(hooks, std::move(collectables));
  if (absl::Status status = server->Listen(address); !status.ok()) return status;
  return server;
}

}  // namespace portico::server
