// The data plane of one worker over a MemoryEngine, with clients and an upstream that
// are nothing but bytes.
#ifndef TESTS_GATE_GATEWAY_H_
#define TESTS_GATE_GATEWAY_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/base/fake_clock.h"
#include "dataplane/downstream/acceptor.h"
#include "dataplane/event/loop.h"
#include "dataplane/observe/access_log.h"
#include "dataplane/observe/metric_ids.h"
#include "dataplane/observe/worker_metrics.h"
#include "dataplane/proxy/serve_exchange.h"
#include "dataplane/proxy/worker_context.h"
#include "dataplane/snapshot/snapshot.h"
#include "dataplane/upstream/cluster_manager.h"
#include "dataplane/upstream/limits.h"
#include "dataplane/upstream/random.h"
#include "tests/gate/memory_engine.h"
#include "tests/gate/scenarios.h"
#include "tests/gate/secure_client.h"

namespace portico::gate {

// What goes one way over one connection, message by message. All messages have one
// length: the first ones are read to learn it, and looked at; from then on bytes are
// only added up.
class MessageCounter {
 public:
  // Takes what was sent. True when a message is complete with it.
  bool Add(const event::SendOperation& op, size_t bytes);
  // The text of the last message that was looked at.
  const std::string& last() const { return last_; }

 private:
  static constexpr int kMessagesRead = 20;
  bool Read(const event::SendOperation& op);

  size_t length_ = 0;
  size_t received_ = 0;
  int left_to_read_ = kMessagesRead;
  std::string text_;
  std::string last_;
};

class Gateway;

// Sends the scenario's requests in turn, the next one when the response is complete; over HTTP/2
// some at one time.
class Client final : public Peer {
 public:
  Client(Gateway& gateway, size_t first);
  void Connect();
  // Whether requests may be sent.
  bool ready() const { return secure_ == nullptr || secure_->ready(); }
  void OnSent(const event::SendOperation& op, size_t bytes) override;
  // Sends what may be open at one time.
  void Go();
  // Feeds what waits for what was fed before to be received.
  void Flush();
  int fd() const { return fd_; }

 private:
  // OnSent() with TLS: what it costs is the client's own, and is counted out.
  void OnSentSecurely(const event::SendOperation& op);
  void EndRequests(size_t count);

  Gateway& gateway_;
  int fd_ = -1;
  size_t next_;
  const size_t most_open_;
  size_t open_ = 0;
  MessageCounter responses_;
  const std::unique_ptr<SecureClient> secure_;  // nullptr: HTTP/1.1 in cleartext.
  std::string waiting_, fed_;                   // Of `secure_`.
};

// One connection to the upstream: the same response for every request.
class Server final : public Peer {
 public:
  Server(Gateway& gateway, int fd) : gateway_(gateway), fd_(fd) {}
  void OnSent(const event::SendOperation& op, size_t bytes) override;
  const std::string& last_request() const { return requests_.last(); }

 private:
  Gateway& gateway_;
  const int fd_;
  MessageCounter requests_;
};

// Put together as dataplane/server/worker.cc does it, but for the engine, the seeds
// and the clock, which moves a fixed step each turn: two runs execute the same
// instructions.
class Gateway final : private downstream::ConnectionObserver {
 public:
  Gateway(Scenario scenario, int connections);
  // Closes every connection and checks that nothing is left.
  ~Gateway() override;
  Gateway(const Gateway&) = delete;
  Gateway& operator=(const Gateway&) = delete;

  // Replays `requests`, and ends with none open.
  void Run(uint64_t requests);
  // The same, and counts allocations and locks. What is measured.
  void RunCounted(uint64_t requests);

  // Of the last requests and responses that were looked at, for people.
  const std::string& last_request_upstream() const { return servers_.front()->last_request(); }
  const std::string& last_response() const { return last_response_; }
  size_t upstream_connections() const { return servers_.size(); }
  const observe::WorkerMetrics& metrics() const { return metrics_; }
  uint64_t log_records_dropped() const { return access_log_->dropped(); }
  // Lets the log's thread write what is in its ring.
  void FlushLog() { access_log_->Flush(); }

 private:
  friend class Client;
  friend class Server;

  void Turn();
  void StartClients();
  void FlushClients();
  void Install();
  void OnConnectionOpened() override {}
  void OnConnectionClosed() override {}
  void OnProtocolError(std::string_view reason) override;
  void OnConnectionRefused(std::string_view reason) override;

  const Scenario scenario_;
  // What clients may still send, and what is open.
  uint64_t to_send_ = 0;
  uint64_t open_ = 0;
  bool closing_ = false;
  std::string last_response_;
  std::vector<std::unique_ptr<Client>> clients_;
  std::vector<std::unique_ptr<Server>> servers_;

  base::FakeClock clock_;
  observe::WorkerMetrics metrics_;
  observe::MetricIds ids_{10'000, 100};
  upstream::LimitRegistry limits_;
  upstream::Random random_{{1, 2, 3, 4}};
  const std::unique_ptr<observe::AccessLogService> access_log_;
  const std::unique_ptr<observe::AccessLogWriter> log_writer_;
  snapshot::SnapshotBuilder builder_;
  MemoryEngine* engine_;  // The loop's.
  event::Loop loop_;
  upstream::ClusterManager clusters_;
  proxy::WorkerContext context_;
  proxy::Proxy proxy_;
  std::unique_ptr<downstream::Acceptor> acceptor_;
};

}  // namespace portico::gate

#endif  // TESTS_GATE_GATEWAY_H_
