#include "controlplane/control_plane.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>
#include <prometheus/exposer.h>

#include <exception>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "controlplane/compile/compiler.h"
#include "controlplane/credentials.h"
#include "controlplane/discovery/server.h"
#include "controlplane/management/config_service.h"
#include "controlplane/management/fleet_service.h"
#include "controlplane/management/ticket_keys.h"
#include "controlplane/management/writer.h"
#include "controlplane/model/log.h"
#include "controlplane/model/metrics.h"
#include "controlplane/rollout/fleet.h"
#include "controlplane/rollout/fleet_metrics.h"
#include "controlplane/store/catalog.h"
#include "controlplane/store/sqlite_store.h"
#include "controlplane/store/timed_store.h"

namespace portico::control {
namespace {

// Of one message that an operator or a proxy sends.
constexpr int kMaxReceiveBytes = 64 << 20;
// Operators' calls at a time; the discovery streams use none of these threads.
constexpr int kMaxThreads = 64;
constexpr int kMaxStreamsPerConnection = 100;
constexpr absl::Duration kShutdownGrace = absl::Seconds(3);

std::string HostOf(const std::string& address) { return address.substr(0, address.rfind(':')); }

void SetLimits(grpc::ServerBuilder& builder) {
  builder.SetMaxReceiveMessageSize(kMaxReceiveBytes);
  builder.SetResourceQuota(grpc::ResourceQuota("control").SetMaxThreads(kMaxThreads));
  // A second control plane on the same port must fail, not share it.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxStreamsPerConnection);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 30'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  // Proxies ping, too: every 10 s is no abuse.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5'000);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
}

class Running final : public ControlPlane {
 public:
  // `owned` may be null.
  Running(std::unique_ptr<Store> owned, Store& store, const Clock& clock, const Options& options)
      : owned_store_(std::move(owned)),
        clock_(clock),
        operators_(options.operators),
        store_(store, clock, metrics_) {}
  ~Running() override { Stop(); }

  absl::Status Start(const Options& options);

  const std::string& grpc_address() const override { return grpc_address_; }
  const std::string& metrics_address() const override { return metrics_address_; }
  void Stop() override;
  void Tick() override {
    discovery_->Tick();
    fleet_->Tick();
    ticket_keys_->Tick();
  }

 private:
  absl::Status Listen(const Options& options);
  absl::Status Expose(const Options& options);

  const std::unique_ptr<Store> owned_store_;
  const Clock& clock_;
  const Operators operators_;
  Metrics metrics_;
  TimedStore store_;
  std::string grpc_address_;
  std::string metrics_address_;
  // In the order in which they use one another.
  std::unique_ptr<Catalog> catalog_;
  std::unique_ptr<Compiler> compiler_;
  std::unique_ptr<Fleet> fleet_;
  std::unique_ptr<Writer> writer_;
  std::unique_ptr<TicketKeys> ticket_keys_;
  std::unique_ptr<ConfigServiceImpl> config_service_;
  std::unique_ptr<FleetServiceImpl> fleet_service_;
  std::unique_ptr<DiscoveryServer> discovery_;
  std::shared_ptr<FleetMetrics> fleet_metrics_;
  std::unique_ptr<prometheus::Exposer> exposer_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<Ticker> ticker_;
};

absl::Status Running::Start(const Options& options) {
  absl::StatusOr<std::unique_ptr<Catalog>> catalog = Catalog::Open(store_, metrics_);
  if (!catalog.ok()) return catalog.status();
  catalog_ = *std::move(catalog);
  compiler_ = std::make_unique<Compiler>(*catalog_);
  // Twice as many records as streams: a fleet that is replaced as a whole stays visible.
  const uint64_t head = catalog_->Head()->info.revision;
  fleet_ = std::make_unique<Fleet>(clock_, 2 * options.max_proxies, head);
  writer_ = std::make_unique<Writer>(*catalog_, clock_, metrics_);
  ticket_keys_ =
      std::make_unique<TicketKeys>(*catalog_, *writer_, clock_, options.ticket_key_rotation);
  config_service_ = std::make_unique<ConfigServiceImpl>(*catalog_, *writer_, operators_);
  fleet_service_ = std::make_unique<FleetServiceImpl>(*catalog_, *fleet_, operators_);
  discovery_ = std::make_unique<DiscoveryServer>(
      SessionContext{*catalog_, *compiler_, *fleet_, clock_, metrics_},
      DiscoveryOptions{.max_proxies = options.max_proxies, .hello = {}});
  fleet_->AddListener([this] { fleet_service_->Notify(); });
  catalog_->AddListener([this](const RevisionPtr& revision) {
    fleet_->Advance(revision->info.revision);
    discovery_->Push();
  });
  if (absl::Status status = Expose(options); !status.ok()) return status;
  if (absl::Status status = Listen(options); !status.ok()) return status;
  ticker_ = std::make_unique<Ticker>(absl::Seconds(1), [this] { Tick(); });
  LogInfo("main", "serving revision ", head, " with ", catalog_->Head()->set->size(),
          " resources on ", grpc_address_, options.insecure ? " in plaintext" : " with mutual TLS",
          metrics_address_.empty() ? "" : ", metrics on ", metrics_address_);
  return absl::OkStatus();
}

absl::Status Running::Expose(const Options& options) {
  if (options.metrics_address.empty()) return absl::OkStatus();
  fleet_metrics_ = std::make_shared<FleetMetrics>(*fleet_);
  // A connection that sends nothing occupies a thread until the timeout, or until the end.
  // boundary: civetweb's C++ interface throws when it cannot listen.
  try {
    exposer_ = std::make_unique<prometheus::Exposer>(
        std::vector<std::string>{"listening_ports", options.metrics_address, "num_threads", "8",
                                 "request_timeout_ms", "2000"});
  } catch (const std::exception&) {
    return absl::UnavailableError(absl::StrCat("--metrics-address: cannot listen on ",
                                               options.metrics_address,
                                               ": check that the port is free"));
  }
  exposer_->RegisterCollectable(metrics_.registry());
  exposer_->RegisterCollectable(fleet_metrics_);
  metrics_address_ =
      absl::StrCat(HostOf(options.metrics_address), ":", exposer_->GetListeningPorts().front());
  return absl::OkStatus();
}

absl::Status Running::Listen(const Options& options) {
  absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> credentials = MakeCredentials(options);
  if (!credentials.ok()) return credentials.status();
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(options.grpc_address, *credentials, &port);
  SetLimits(builder);
  builder.RegisterService(config_service_.get());
  builder.RegisterService(fleet_service_.get());
  builder.RegisterService(discovery_.get());
  server_ = builder.BuildAndStart();
  if (server_ == nullptr || port == 0) {
    return absl::UnavailableError(absl::StrCat("--grpc-address: cannot listen on ",
                                               options.grpc_address,
                                               ": check that the address is this machine's and the "
                                               "port is free"));
  }
  grpc_address_ = absl::StrCat(HostOf(options.grpc_address), ":", port);
  return absl::OkStatus();
}

void Running::Stop() {
  ticker_.reset();
  if (server_ == nullptr) return;
  server_->GetHealthCheckService()->SetServingStatus(false);
  discovery_->Shutdown();
  fleet_service_->Shutdown();
  server_->Shutdown(SystemDeadline(kShutdownGrace));
  server_->Wait();
  server_.reset();
  exposer_.reset();
}

absl::StatusOr<std::unique_ptr<ControlPlane>> StartOn(const Options& options, const Clock& clock,
                                                      std::unique_ptr<Store> owned, Store& store) {
  auto running = std::make_unique<Running>(std::move(owned), store, clock, options);
  if (absl::Status status = running->Start(options); !status.ok()) return status;
  return running;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ControlPlane>> StartControlPlane(const Options& options,
                                                                const Clock& clock) {
  if (absl::Status status = CheckOptions(options); !status.ok()) return status;
  absl::StatusOr<std::unique_ptr<Store>> store =
      OpenSqliteStore({.path = options.store,
                       .keep_revisions = options.keep_revisions,
                       .key_file = options.store_key_file});
  if (!store.ok()) return store.status();
  Store& reference = **store;
  return StartOn(options, clock, *std::move(store), reference);
}

absl::StatusOr<std::unique_ptr<ControlPlane>> StartControlPlane(const Options& options,
                                                                const Clock& clock, Store& store) {
  return StartOn(options, clock, nullptr, store);
}

}  // namespace portico::control
