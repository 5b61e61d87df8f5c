#include "dataplane/server/process.h"

#include <prometheus/registry.h>

#include <condition_variable>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "api/validation/validate.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/log.h"
#include "dataplane/base/thread.h"
#include "dataplane/discovery/cache_key.h"
#include "dataplane/discovery/client.h"
#include "dataplane/discovery/last_good_cache.h"
#include "dataplane/filters/registry.h"
#include "dataplane/observe/access_log.h"
#include "dataplane/observe/metric_ids.h"
#include "dataplane/observe/metrics_collector.h"
#include "dataplane/observe/process_metrics.h"
#include "dataplane/observe/proxy_status.h"
#include "dataplane/server/admin.h"
#include "dataplane/server/engine_metrics.h"
#include "dataplane/server/files.h"
#include "dataplane/server/server.h"

namespace portico::server {
namespace {

using base::Severity;

// Names that get metric series of their own, see docs/metrics.md.
constexpr uint32_t kMaxRouteSeries = 10'000;
constexpr uint32_t kMaxUpstreamSeries = 1'000;
constexpr size_t kAccessLogRingBytes = 1 << 20;

// Offers a set and waits for the answer.
Violations OfferAndWait(Server& server, uint64_t revision, api::ResourceSet resources) {
  std::mutex mutex;
  std::condition_variable changed;
  bool done = false;
  Violations result;
  server.Offer(revision, std::move(resources), [&](Violations violations) {
    const std::lock_guard lock(mutex);
    result = std::move(violations);
    done = true;
    changed.notify_one();
  });
  std::unique_lock lock(mutex);
  changed.wait(lock, [&] { return done; });
  return result;
}

std::string Lines(const Violations& violations) {
  std::string text;
  for (const v1::Violation& violation : violations) {
    absl::StrAppend(&text, text.empty() ? "" : "\n", api::ToString(violation));
  }
  return text;
}

class RunningProcess final : public Process, private AdminHooks {
 public:
  explicit RunningProcess(Settings settings)
      : settings_(std::move(settings)),
        ids_(kMaxRouteSeries, kMaxUpstreamSeries),
        access_log_(observe::AccessLogService::Create(kAccessLogRingBytes)),
        server_({.node_id = settings_.node_id,
                 .workers = settings_.workers,
                 .max_connections = settings_.max_connections,
                 .max_process_connections = settings_.max_process_connections,
                 .memory_limit =
                     settings_.memory_limit != 0 ? settings_.memory_limit : DefaultMemoryLimit(),
                 .drain_grace_nanos = settings_.drain_grace_nanos,
                 .drain_timeout_nanos = settings_.drain_timeout_nanos,
                 .io_engine = settings_.io_engine,
                 .io_gather_micros = settings_.io_gather_micros,
                 .listener_addresses = settings_.listener_addresses},
                clock_, status_, ids_, *access_log_,
                filters::MakePolicyBuilders({.rate_limit_keys = settings_.rate_limit_cells},
                                            &policy_counters_)) {}

  ~RunningProcess() override {
    if (client_ != nullptr) client_->Shutdown();
    if (admin_ != nullptr) admin_->Stop();
  }

  absl::Status Start() {
    if (absl::Status status = OpenCache(); !status.ok()) return status;
    if (!settings_.control_plane.empty()) {
      if (absl::Status status = MakeClient(); !status.ok()) return status;
    }
    server_.OnListenersChanged([this](const auto& addresses) { WriteAddresses(addresses); });
    if (absl::Status status = server_.Start(); !status.ok()) return status;
    // The workers run. All that comes now starts from this thread and gives way to them: the admin
    // endpoint, the discovery client, and the threads that gRPC makes for it.
    base::BecomeBackgroundThread("");
    if (absl::Status status = StartAdmin(); !status.ok()) return status;
    LogEngineChoice(server_.engine_choice());
    WriteAddresses({});
    if (client_ == nullptr) return ServeFile();
    ServeCache();
    return absl::OkStatus();
  }

  void Drain() override { server_.Drain(); }
  void WaitUntilDrained() override { server_.WaitUntilDrained(); }
  void ReopenLogs() override { access_log_->Reopen(); }

 private:
  // AdminHooks.
  bool Ready() const override { return server_.ready(); }
  std::shared_ptr<const snapshot::Snapshot> Live() const override { return server_.live(); }
  void RequestDrain() override { server_.Drain(); }

  absl::Status OpenCache() {
    if (settings_.cache_dir.empty()) return absl::OkStatus();
    auto key = settings_.cache_key_file.empty()
                   ? discovery_client::DeriveCacheKey(settings_.tls_key)
                   : discovery_client::ReadCacheKey(settings_.cache_key_file, /*create=*/false);
    if (!key.ok()) return key.status();
    auto cache = discovery_client::LastGoodCache::Open(
        {.folder = settings_.cache_dir, .node_id = settings_.node_id, .key = *key}, clock_);
    if (!cache.ok()) return cache.status();
    cache_ = *std::move(cache);
    return absl::OkStatus();
  }

  absl::Status MakeClient() {
    discovery_client::ClientOptions options;
    options.channel.address = settings_.control_plane;
    options.channel.insecure = settings_.insecure;
    options.channel.ca_file = settings_.tls_ca;
    options.channel.certificate_file = settings_.tls_cert;
    options.channel.key_file = settings_.tls_key;
    options.identity = {settings_.node_id, settings_.labels, settings_.version};
    auto client = discovery_client::DiscoveryClient::Create(std::move(options), server_, clock_,
                                                            status_, cache_.get());
    if (!client.ok()) return client.status();
    client_ = *std::move(client);
    return absl::OkStatus();
  }

  absl::Status StartAdmin() {
    observe::MetricsCollector::Options options;
    options.version = settings_.version;
    options.node_id = settings_.node_id;
    options.access_log_dropped = [this] { return access_log_->dropped(); };
    options.rate_limit_table_full = [this] { return policy_counters_.rate_limit_table_full(); };
    options.certificates = [this] { return server_.certificates(); };
    options.worker_objects = [this] { return server_.CountObjects(); };
    collector_ = std::make_shared<observe::MetricsCollector>(ids_, server_.worker_metrics(),
                                                             status_, clock_, std::move(options));
    auto engines =
        std::make_shared<EngineCollector>(server_.engine_choice(), server_.engine_stats());
    auto admin =
        AdminServer::Start(settings_.admin_address, *this, {collector_, std::move(engines)});
    if (!admin.ok()) return admin.status();
    admin_ = *std::move(admin);
    return absl::OkStatus();
  }

  // A fault in the file is the operator's, and ends the start.
  absl::Status ServeFile() {
    auto resources = LoadResources(settings_.config_file);
    if (!resources.ok()) return resources.status();
    const Violations violations = OfferAndWait(server_, 1, *std::move(resources));
    if (violations.empty()) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat(settings_.config_file, " cannot be served:\n", Lines(violations)));
  }

  // What was live last time, until the control plane says something newer.
  void ServeCache() {
    uint64_t revision = 0;
    discovery_client::ResourceSetPtr applied;
    if (cache_ != nullptr) {
      auto cached = cache_->Load();
      if (cached.ok()) {
        auto set = std::make_shared<const api::ResourceSet>(std::move(cached->resources));
        const Violations violations = OfferAndWait(server_, cached->revision, *set);
        if (violations.empty()) {
          revision = cached->revision;
          applied = std::move(set);
          status_.config_from_cache.store(true);
          base::Log(Severity::kInfo, "server",
                    absl::StrCat("serving revision ", revision,
                                 " from disk until the control plane answers"));
        } else {
          base::Log(Severity::kWarning, "server",
                    absl::StrCat("the revision on disk cannot be served: ", Lines(violations)));
        }
      } else if (!absl::IsNotFound(cached.status())) {
        base::Log(Severity::kWarning, "server",
                  absl::StrCat("the revision on disk is not used: ", cached.status().message()));
      }
    }
    client_->Start(revision, std::move(applied));
  }

  void WriteAddresses(const std::vector<std::pair<std::string, net::SocketAddress>>& listeners) {
    if (settings_.address_file.empty()) return;
    std::string text = absl::StrCat("admin=", admin_->address().ToString(), "\n");
    for (const auto& [name, address] : listeners) {
      absl::StrAppend(&text, "listener.", name, "=", address.ToString(), "\n");
    }
    if (absl::Status status = WriteFileAtomically(settings_.address_file, text); !status.ok()) {
      base::Log(Severity::kError, "server",
                absl::StrCat("--address-file: ", status.message()));
    }
  }

  const Settings settings_;
  const base::Clock& clock_ = base::RealClock();
  observe::ProxyStatus status_;
  observe::MetricIds ids_;
  std::unique_ptr<observe::AccessLogService> access_log_;
  filters::PolicyCounters policy_counters_;
  // Refers to the server; declared before it, so that it outlives the server's last
  // callbacks.
  std::shared_ptr<observe::MetricsCollector> collector_;
  std::unique_ptr<discovery_client::LastGoodCache> cache_;
  Server server_;
  std::unique_ptr<discovery_client::DiscoveryClient> client_;
  std::unique_ptr<AdminServer> admin_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Process>> Process::Start(Settings settings) {
  auto process = std::make_unique<RunningProcess>(std::move(settings));
  if (absl::Status status = process->Start(); !status.ok()) return status;
  return process;
}

}  // namespace portico::server
