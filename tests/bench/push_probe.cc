// Pushes changes to a control plane and tells when every proxy serves them: the
// measuring part of push_latency.py, as one process, so that no start of a program is in
// the figures. Prints one JSON object per push.
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <iostream>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "api/portico/v1/config_service.grpc.pb.h"
#include "api/portico/v1/fleet_service.grpc.pb.h"
#include "dataplane/base/clock.h"
#include "dataplane/net/address.h"
#include "google/protobuf/timestamp.pb.h"
#include "grpcpp/grpcpp.h"
#include "tools/flags/flags.h"

ABSL_FLAG(std::string, server, "", "HOST:PORT of the control plane (plaintext). Required.");
ABSL_FLAG(std::vector<std::string>, proxies, {}, "IP:PORT of a listener of each proxy, comma-separated. Required.");
ABSL_FLAG(uint32_t, pushes, 100, "How many pushes.");
ABSL_FLAG(uint32_t, changed, 1, "Routes changed by each push.");
ABSL_FLAG(uint32_t, warm_up, 3, "Pushes before those that are printed.");
ABSL_FLAG(std::string, tag, "v", "Start of the bodies, so that two runs differ.");

namespace portico::bench {
namespace {

constexpr int kTimeoutMillis = 10'000;

// One keep-alive connection to a proxy.
class Client {
 public:
  explicit Client(const net::SocketAddress& address) {
    sockaddr_storage storage = {};
    const socklen_t length = address.ToSockaddr(storage);
    fd_ = ::socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    connected_ = ::connect(fd_, reinterpret_cast<const sockaddr*>(&storage), length) == 0;
  }
  ~Client() { ::close(fd_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  bool connected() const { return connected_; }
  // Whether the proxy answers a request for `path` with this body.
  bool Serves(std::string_view path, std::string_view body) {
    const std::string request = absl::StrCat("GET ", std::string(path), " HTTP/1.1\r\nHost: bench\r\n\r\n");
    if (::send(fd_, request.data(), request.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(request.size())) return false;
    std::string response;
    while (true) {
      const size_t head = response.find("\r\n\r\n");
      // Bodies of this bench end with a line break and hold no other.
      if (head != std::string::npos && response.size() > head + 4 && response.back() == '\n') {
        return response.substr(head + 4) == body;
      }
      pollfd poll_fd{.fd = fd_, .events = POLLIN, .revents = 0};
      char bytes[4096];
      if (::poll(&poll_fd, 1, kTimeoutMillis) != 1) return false;
      const ssize_t got = ::recv(fd_, bytes, sizeof(bytes), 0);
      if (got <= 0) return false;
      response.append(bytes, static_cast<size_t>(got));
    }
  }

 private:
  int fd_ = -1;
  bool connected_ = false;
};

int64_t Nanos(const google::protobuf::Timestamp& time) {
  return time.seconds() * base::kNanosPerSecond + time.nanos();
}

v1::ApplyRequest MakeRequest(uint32_t changed, const std::string& body) {
  v1::ApplyRequest request;
  request.set_author("push_probe");
  for (uint32_t i = 0; i < changed; ++i) {
    v1::Resource& resource = *request.add_upserts();
    resource.set_name(absl::StrCat("push-", i));
    v1::Route& route = *resource.mutable_route();
    route.mutable_match()->mutable_path()->set_exact(absl::StrCat("/push/", i));
    route.mutable_respond()->set_status(200);
    route.mutable_respond()->set_body(body);
  }
  return request;
}

class Probe {
 public:
  explicit Probe(const std::string& server) {
    const auto channel = grpc::CreateChannel(server, grpc::InsecureChannelCredentials());
    config_ = v1::ConfigService::NewStub(channel);
    fleet_ = v1::FleetService::NewStub(channel);
  }

  bool Connect(const std::vector<std::string>& proxies) {
    for (const std::string& proxy : proxies) {
      const auto address = net::SocketAddress::Parse(proxy);
      if (!address.ok()) return Fail(std::string(address.status().message()));
      clients_.push_back(std::make_unique<Client>(*address));
      if (!clients_.back()->connected()) return Fail(absl::StrCat("nobody listens on ", proxy));
    }
    return true;
  }

  // One push, until every proxy serves it. False after an error, which is printed.
  bool Push(uint32_t changed, const std::string& body, bool print) {
    // clock: what is measured is real.
    const base::Clock& clock = base::RealClock();
    const v1::ApplyRequest request = MakeRequest(changed, body);
    const base::MonotonicNanos started = clock.Monotonic();
    v1::ApplyResponse response;
    grpc::ClientContext apply_context;
    grpc::Status status = config_->Apply(&apply_context, request, &response);
    if (!status.ok()) return Fail(absl::StrCat("Apply: ", status.error_message()));
    const base::MonotonicNanos accepted = clock.Monotonic();
    const std::string path = absl::StrCat("/push/", changed - 1);
    for (const auto& client : clients_) {
      while (!client->Serves(path, body)) {
        if (clock.Monotonic() - accepted > 10 * base::kNanosPerSecond) return Fail("not served after 10 s");
      }
    }
    const base::MonotonicNanos served = clock.Monotonic();

    v1::WatchRolloutRequest watch;
    watch.set_revision(response.revision());
    watch.set_min_proxies(static_cast<uint32_t>(clients_.size()));
    grpc::ClientContext watch_context;
    const auto reader = fleet_->WatchRollout(&watch_context, watch);
    v1::RolloutStatus rollout;
    while (reader->Read(&rollout)) {
    }
    status = reader->Finish();
    if (!status.ok() || rollout.state() != v1::RolloutStatus::LIVE) {
      return Fail(absl::StrCat("rollout: ", status.error_message(), " ", rollout.ShortDebugString()));
    }
    const int64_t applied = AcceptedToApplied(response.revision());
    if (applied < 0) return false;
    if (!print) return true;
    std::cout << "{\"revision\": " << response.revision() << ", \"accepted_to_applied_ms\": " << Millis(applied)
              << ", \"apply_call_ms\": " << Millis(accepted - started)
              << ", \"call_to_served_ms\": " << Millis(served - started) << "}" << std::endl;
    return true;
  }

 private:
  static double Millis(int64_t nanos) { return static_cast<double>(nanos) / base::kNanosPerMilli; }
  static bool Fail(const std::string& why) {
    std::cerr << "push_probe: " << why << "\n";
    return false;
  }

  // By the control plane's clock: from the revision's creation to the last proxy's
  // word that it is live on all workers. Negative after an error.
  int64_t AcceptedToApplied(uint64_t revision) {
    v1::ListRevisionsRequest request;
    request.set_page_size(1);
    v1::ListRevisionsResponse revisions;
    grpc::ClientContext revisions_context;
    v1::ListProxiesResponse proxies;
    grpc::ClientContext proxies_context;
    if (!config_->ListRevisions(&revisions_context, request, &revisions).ok() ||
        !fleet_->ListProxies(&proxies_context, v1::ListProxiesRequest(), &proxies).ok() ||
        revisions.revisions_size() != 1 || revisions.revisions(0).revision() != revision) {
      Fail("the revision just made is not the newest");
      return -1;
    }
    int64_t last = 0;
    for (const v1::ProxyStatus& proxy : proxies.proxies()) {
      if (proxy.applied_revision() != revision) continue;
      last = std::max(last, Nanos(proxy.applied_at()));
    }
    return last - Nanos(revisions.revisions(0).created_at());
  }

  std::unique_ptr<v1::ConfigService::Stub> config_;
  std::unique_ptr<v1::FleetService::Stub> fleet_;
  std::vector<std::unique_ptr<Client>> clients_;
};

int Run() {
  Probe probe(absl::GetFlag(FLAGS_server));
  if (!probe.Connect(absl::GetFlag(FLAGS_proxies))) return 1;
  const uint32_t warm_up = absl::GetFlag(FLAGS_warm_up);
  for (uint32_t i = 0; i < warm_up + absl::GetFlag(FLAGS_pushes); ++i) {
    const std::string body = absl::StrCat(absl::GetFlag(FLAGS_tag), "-", i, "\n");
    if (!probe.Push(absl::GetFlag(FLAGS_changed), body, i >= warm_up)) return 1;
  }
  return 0;
}

}  // namespace
}  // namespace portico::bench

int main(int argc, char** argv) {
  portico::flags::ParseFlagsOrExit(argc, argv, {.name = "push_probe", .usage = "see tests/bench/push_latency.py"});
  if (absl::GetFlag(FLAGS_server).empty() || absl::GetFlag(FLAGS_proxies).empty() || absl::GetFlag(FLAGS_changed) == 0) {
    std::cerr << "push_probe: --server, --proxies and a positive --changed are needed\n";
    return 2;
  }
  return portico::bench::Run();
}
