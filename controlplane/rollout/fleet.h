// Which proxy has which revision, and why not.
#ifndef CONTROLPLANE_ROLLOUT_FLEET_H_
#define CONTROLPLANE_ROLLOUT_FLEET_H_

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "api/portico/v1/fleet_service.pb.h"
#include "controlplane/model/clock.h"

namespace portico::control {

// How a proxy introduces itself.
struct ProxyIdentity {
  std::string node_id;
  std::map<std::string, std::string> labels;
  std::string build;
  std::string address;
  std::string process = {};  // Differs after every start; empty if the proxy does not say.
};

// What is known about one proxy. Revisions are 0 while unknown.
struct ProxyRecord {
  ProxyIdentity identity;
  uint64_t session = 0;  // The stream that speaks for it; of two, the later one.
  bool connected = false;
  uint64_t received = 0;
  uint64_t applied = 0;
  uint64_t rejected = 0;
  std::vector<v1::Violation> rejections;
  absl::Time applied_at = absl::InfinitePast();
  absl::Time behind_since = absl::InfiniteFuture();  // InfiniteFuture: it is not.
  absl::Time last_seen = absl::InfinitePast();
};

enum class ProxyState {
  kCurrent,       // Has the current revision.
  kBehind,        // Has an older one.
  kRejected,      // Has an older one, and refused the current one.
  kAhead,         // Has a newer one than the store: the store was restored from an older copy.
  kDisconnected,  // Whatever it has.
};
ProxyState StateOf(const ProxyRecord& record, uint64_t head);

// The fleet. Thread-safe. Calls that name a session other than the node's latest have no effect.
class Fleet {
 public:
  // Disconnected proxies are forgotten after this time.
  static constexpr absl::Duration kRemember = absl::Hours(1);
  // Bounds of what is kept about one rejection.
  static constexpr int kMaxRejections = 50;
  static constexpr size_t kMaxTextBytes = 1024;
  // Proxies named in one RolloutStatus.
  static constexpr int kMaxWaiting = 1000;

  // `clock` must outlive the fleet. At most `max_records` proxies are remembered; beyond that the
  // disconnected ones that were seen longest ago are forgotten. `head` is the current revision.
  Fleet(const Clock& clock, size_t max_records, uint64_t head);

  // A stream has said who it is and what it has. Of two streams of one node, the one with the
  // higher session counts, whichever speaks first. Returns the revision that this proxy refused
  // before and that must not be sent again: 0 if none, or if it is another process, has another build
  // or another applied revision since.
  uint64_t Connected(uint64_t session, const ProxyIdentity& identity, uint64_t applied);
  void Heard(uint64_t session, const std::string& node_id);
  void Received(uint64_t session, const std::string& node_id, uint64_t revision);
  void Applied(uint64_t session, const std::string& node_id, uint64_t revision);
  void Rejected(uint64_t session, const std::string& node_id, uint64_t revision,
                std::vector<v1::Violation> violations);
  void Disconnected(uint64_t session, const std::string& node_id);

  // The current revision has moved on.
  void Advance(uint64_t head);
  // Forgets whom it is time to forget.
  void Tick();

  // By node id.
  v1::ListProxiesResponse List() const;
  // FleetService.WatchRollout's answer now.
  v1::RolloutStatus Evaluate(uint64_t revision, uint32_t min_proxies) const;

  // For metrics: proxies by state, and connected ones by applied revision.
  struct Counts {
    std::map<ProxyState, size_t> by_state;
    std::map<uint64_t, size_t> by_revision;
    size_t connected = 0;
  };
  Counts Count() const;

  // `listener` is called after every change of anything that Evaluate looks at, without locks held,
  // on any thread. Call before any other method.
  void AddListener(std::function<void()> listener);

 private:
  template <typename Change>
  void Update(uint64_t session, const std::string& node_id, bool announce, const Change& change);
  void Announce() const;
  void UpdateBehind(ProxyRecord& record) const;
  void DropOldest();
  v1::ProxyStatus ToProto(const ProxyRecord& record) const;

  const Clock& clock_;
  const size_t max_records_;
  std::vector<std::function<void()>> listeners_;

  mutable std::mutex mutex_;  // Guards all below.
  uint64_t head_;
  std::map<std::string, ProxyRecord> records_;
};

}  // namespace portico::control

#endif  // CONTROLPLANE_ROLLOUT_FLEET_H_
