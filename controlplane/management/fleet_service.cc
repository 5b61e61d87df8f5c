#include "controlplane/management/fleet_service.h"

#include <grpcpp/grpcpp.h>

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "controlplane/model/grpc_status.h"

namespace portico::control {
namespace {

// Rest between two looks at the fleet, per proxy: looking costs time in proportion to it, and a
// rollout to thousands of proxies changes the state thousands of times.
constexpr absl::Duration kRestPerProxy = absl::Microseconds(10);

// Answers a watcher with an error and nothing else.
class Refusal final : public grpc::ServerWriteReactor<v1::RolloutStatus> {
 public:
  explicit Refusal(const grpc::Status& status) { Finish(status); }
  void OnDone() override { std::unique_ptr<Refusal> owned(this); }
};

}  // namespace

// One WatchRollout. The service's set owns it until OnDone. Thread-safe.
class RolloutWatcher final : public grpc::ServerWriteReactor<v1::RolloutStatus>,
                             public std::enable_shared_from_this<RolloutWatcher> {
 public:
  RolloutWatcher(FleetServiceImpl& service, uint64_t revision, uint32_t min_proxies)
      : service_(service), revision_(revision), min_proxies_(min_proxies) {}

  void Update() {
    std::lock_guard lock(mutex_);
    UpdateLocked();
  }

  void End(const absl::Status& status) {
    std::lock_guard lock(mutex_);
    EndLocked(status);
  }

  void OnWriteDone(bool ok) override {
    std::lock_guard lock(mutex_);
    writing_ = false;
    if (finished_) return;
    if (ending_) {
      finished_ = true;
      Finish(ToGrpc(end_status_));
    } else if (!ok || status_.state() != v1::RolloutStatus::IN_PROGRESS) {
      finished_ = true;
      Finish(grpc::Status::OK);
    } else if (changed_) {
      UpdateLocked();
    }
  }

  void OnCancel() override { End(absl::CancelledError("cancelled by the caller")); }
  void OnDone() override { service_.Remove(shared_from_this()); }

 private:
  void UpdateLocked() {
    if (finished_ || ending_) return;
    changed_ = writing_;
    if (writing_) return;
    v1::RolloutStatus status = service_.fleet_.Evaluate(revision_, min_proxies_);
    std::string text = status.SerializeAsString();
    if (text == last_text_) return;
    last_text_ = std::move(text);
    status_ = std::move(status);
    writing_ = true;
    StartWrite(&status_);
  }

  void EndLocked(const absl::Status& status) {
    if (finished_ || ending_) return;
    if (writing_) {
      // A caller that does not read is cancelled when the server's shutdown has waited enough.
      ending_ = true;
      end_status_ = status;
      return;
    }
    finished_ = true;
    Finish(ToGrpc(status));
  }

  FleetServiceImpl& service_;
  const uint64_t revision_;
  const uint32_t min_proxies_;

  // gRPC's methods are called with it held, so that none is called after Finish. gRPC never calls
  // back from inside of them.
  std::mutex mutex_;
  v1::RolloutStatus status_;  // Being written, or written last.
  std::string last_text_;
  bool writing_ = false;
  bool changed_ = false;  // While writing.
  bool finished_ = false;
  bool ending_ = false;  // Finish with end_status_ once the write has ended.
  absl::Status end_status_;
};

FleetServiceImpl::FleetServiceImpl(const Catalog& catalog, const Fleet& fleet,
                                   const Operators& operators)
    : catalog_(catalog),
      fleet_(fleet),
      operators_(operators),
      notifier_([this] { return UpdateAll(); }) {}

grpc::ServerUnaryReactor* FleetServiceImpl::ListProxies(grpc::CallbackServerContext* context,
                                                        const v1::ListProxiesRequest*,
                                                        v1::ListProxiesResponse* response) {
  const grpc::Status allowed = operators_.Check(*context);
  if (allowed.ok()) *response = fleet_.List();
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(allowed);
  return reactor;
}

grpc::ServerWriteReactor<v1::RolloutStatus>* FleetServiceImpl::WatchRollout(
    grpc::CallbackServerContext* context, const v1::WatchRolloutRequest* request) {
  if (grpc::Status allowed = operators_.Check(*context); !allowed.ok()) {
    return std::make_unique<Refusal>(allowed).release();  // owned: deletes itself in OnDone.
  }
  const uint64_t current = catalog_.Head()->info.revision;
  const uint64_t revision = request->revision() == 0 ? current : request->revision();
  absl::Status refused;
  std::shared_ptr<RolloutWatcher> watcher;
  if (revision > current) {
    refused = absl::NotFoundError(
        absl::StrCat("revision ", revision, " does not exist: the current one is ", current));
  } else {
    std::lock_guard lock(mutex_);
    if (shut_down_) {
      refused = absl::UnavailableError("the control plane is shutting down");
    } else if (watchers_.size() >= kMaxWatchers) {
      refused = absl::ResourceExhaustedError(
          absl::StrCat("at most ", kMaxWatchers, " rollouts are watched at a time"));
    } else {
      watcher = std::make_shared<RolloutWatcher>(*this, revision, request->min_proxies());
      watchers_.insert(watcher);
    }
  }
  if (watcher == nullptr) {
    return std::make_unique<Refusal>(ToGrpc(refused))
        .release();  // owned: deletes itself in OnDone.
  }
  watcher->Update();
  return watcher.get();
}

std::set<std::shared_ptr<RolloutWatcher>> FleetServiceImpl::Watchers() {
  std::lock_guard lock(mutex_);
  return watchers_;
}

void FleetServiceImpl::Remove(const std::shared_ptr<RolloutWatcher>& watcher) {
  std::lock_guard lock(mutex_);
  watchers_.erase(watcher);
}

absl::Duration FleetServiceImpl::UpdateAll() {
  const std::set<std::shared_ptr<RolloutWatcher>> watchers = Watchers();
  for (const auto& watcher : watchers) watcher->Update();
  if (watchers.empty()) return absl::ZeroDuration();
  return kRestPerProxy * static_cast<double>(fleet_.Count().connected);
}

void FleetServiceImpl::Shutdown() {
  {
    std::lock_guard lock(mutex_);
    shut_down_ = true;
  }
  for (const auto& watcher : Watchers()) {
    watcher->End(absl::UnavailableError("the control plane is shutting down"));
  }
}

}  // namespace portico::control
