// The clients of one measurement: keep-alive connections that send requests and time the answers.
#ifndef TESTS_BENCH_LOAD_LOAD_RUN_H_
#define TESTS_BENCH_LOAD_LOAD_RUN_H_

#include <netinet/in.h>

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tests/bench/load/cpu_sample.h"
#include "tests/bench/load/histogram.h"
#include "tests/bench/load/response_head.h"
#include "tests/bench/load/ring.h"
#include "tests/bench/load/tls_client.h"

namespace portico::bench {

struct LoadSettings {
  sockaddr_in server = {};
  uint32_t connections = 64;
  // Requests a second, sent whether or not the ones before are answered (open loop; exponentially
  // distributed distances, as independent clients make them). 0: each connection sends its next
  // request when it has the answer to the one before (closed loop).
  double rate = 0;
  int64_t warm_up_nanos = 300'000'000;
  int64_t window_nanos = 2'000'000'000;
  // Complete requests; each one sent is drawn from these at random. At least one.
  std::vector<std::string> requests;
  // Over TLS 1.3.
  bool tls = false;
  // A connection, and a whole handshake, for each request; the requests ask the server to close.
  bool close_each = false;
  // Processes whose CPU time in the window is reported.
  std::vector<pid_t> pids;
  uint64_t seed = 1;
};

// Used once, by one thread.
class LoadRun {
 public:
  // Opens the connections. Errors: Unavailable if the server takes none of them, or there is no
  // io_uring.
  static absl::StatusOr<std::unique_ptr<LoadRun>> Create(LoadSettings settings);
  ~LoadRun();

  // Warms up, measures, and lets the requests in flight end. The result is described in
  // docs/benchmarks.md.
  nlohmann::json Measure();

  // One request on each connection, at most 256 at once; then all connections rest. Errors:
  // Unavailable if one of the requests fails.
  absl::Status TouchEach();

 private:
  struct Connection {
    int fd = -1;
    uint32_t generation = 0;
    bool in_flight = false;
    bool reused = false;  // has been answered on before
    bool close_after = false;
    int64_t since = 0;  // when the request in flight was due
    uint32_t request = 0;
    size_t have = 0;  // bytes of an incomplete head in the buffer
    uint64_t body_left = 0;
    bool in_body = false;
    int status = 0;
    char* buffer = nullptr;
    // With TLS: before its handshake is done `encrypted` is false. `out` is what was sent last: the
    // next is only sent when the server has answered.
    std::unique_ptr<TlsClient> tls;
    bool encrypted = false;
    char* raw = nullptr;
    std::string out;
  };

  explicit LoadRun(LoadSettings settings) : settings_(std::move(settings)) {}
  absl::Status Open(Connection& connection);
  void Reopen(uint32_t index);
  void Send(uint32_t index, int64_t since);
  void SendAgain(uint32_t index);
  void Receive(uint32_t index, bool expect_wait);
  // `size` bytes of the response are in the buffer; whether more must come.
  bool HandleBytes(uint32_t index, size_t size);
  void HandleRaw(uint32_t index, size_t size);
  // What TLS has to say goes out.
  void Flush(uint32_t index);
  void HandleEnd(uint32_t index, int error);
  void Complete(uint32_t index);
  void Fail(uint32_t index, const char* reason);
  void Rest(uint32_t index);
  void StartDue();
  void Turn(int64_t deadline);
  int64_t NextDistance();
  uint64_t Random();
  nlohmann::json Report(const CpuSample& before, const CpuSample& after) const;

  // Constant after Create.
  LoadSettings settings_;
  std::unique_ptr<Ring> ring_;
  std::unique_ptr<char[]> buffers_;
  std::unique_ptr<TlsClientContext> tls_;

  std::vector<Connection> connections_;
  int64_t now_ = 0;  // read once per turn
  uint64_t random_ = 0;
  bool stopping_ = false;
  uint32_t in_flight_ = 0;

  // Open loop: when the next request is due, those due that found no connection, and
  // connections that rest, longest first.
  int64_t next_due_ = 0;
  std::deque<int64_t> waiting_;
  std::deque<uint32_t> resting_;

  // Of the window.
  Histogram latencies_;
  uint64_t completed_ = 0;
  uint64_t body_bytes_ = 0;
  uint64_t retried_ = 0;
  uint64_t reopened_ = 0;
  std::map<std::string, uint64_t> errors_;
  std::map<int, uint64_t> bad_statuses_;
};

}  // namespace portico::bench

#endif  // TESTS_BENCH_LOAD_LOAD_RUN_H_
