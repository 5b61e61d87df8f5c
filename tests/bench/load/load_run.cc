#include "tests/bench/load/load_run.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/bench/load/other_processes.h"

namespace portico::bench {
namespace {

constexpr size_t kBufferBytes = 4096;
// Rests of bodies are dropped by the kernel rather than copied (MSG_TRUNC), so this much is taken
// at once whatever the buffer's size.
constexpr size_t kBodyBytes = 1 << 20;
constexpr uint32_t kTouchedAtOnce = 256;
constexpr int64_t kDrainNanos = 2'000'000'000;
constexpr int64_t kTickNanos = 50'000'000;
constexpr size_t kMostWaiting = 1'000'000;
// Between reading what all processes have spent, which takes a while, and the window.
constexpr int64_t kSettleNanos = 50'000'000;

enum Operation : uint8_t { kSend, kReceive };

double Micros(int64_t nanos) { return static_cast<double>(nanos) / 1000; }

}  // namespace

absl::StatusOr<std::unique_ptr<LoadRun>> LoadRun::Create(LoadSettings settings) {
  std::unique_ptr<LoadRun> run(new LoadRun(std::move(settings)));
  auto ring = Ring::Create(4096);
  if (!ring.ok()) return ring.status();
  run->ring_ = *std::move(ring);
  run->random_ = run->settings_.seed;
  const uint32_t count = run->settings_.connections;
  const bool tls = run->settings_.tls;
  if (tls) run->tls_ = std::make_unique<TlsClientContext>();
  const size_t each = tls ? 2 * kBufferBytes : kBufferBytes;
  run->buffers_ = std::make_unique<char[]>(count * each);
  run->connections_.resize(count);
  for (uint32_t i = 0; i < count; ++i) {
    run->connections_[i].buffer = run->buffers_.get() + i * each;
    if (tls) run->connections_[i].raw = run->connections_[i].buffer + kBufferBytes;
  }
  return run;
}

LoadRun::~LoadRun() {
  for (const Connection& connection : connections_) {
    if (connection.fd >= 0) ::close(connection.fd);
  }
}

absl::Status LoadRun::Open(Connection& connection) {
  connection.fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);
  const int one = 1;
  ::setsockopt(connection.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
  const auto* address = reinterpret_cast<const sockaddr*>(&settings_.server);
  if (::connect(connection.fd, address, sizeof(settings_.server)) != 0) {
    return absl::UnavailableError(absl::StrCat("connect: ", strerror(errno)));
  }
  if (tls_ != nullptr) connection.tls = std::make_unique<TlsClient>(*tls_);
  connection.encrypted = false;
  return absl::OkStatus();
}

void LoadRun::Reopen(uint32_t index) {
  Connection& connection = connections_[index];
  if (connection.fd >= 0) ::close(connection.fd);
  ++connection.generation;
  ++reopened_;
  connection.reused = false;
  connection.close_after = false;
  connection.have = 0;
  connection.in_body = false;
  if (!Open(connection).ok()) {
    ::close(connection.fd);
    connection.fd = -1;
  }
}

uint64_t LoadRun::Random() {
  // splitmix64: the same requests for every server.
  uint64_t z = (random_ += 0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

int64_t LoadRun::NextDistance() {
  const double uniform = (static_cast<double>(Random() >> 11) + 0.5) / 9007199254740992.0;
  return static_cast<int64_t>(-std::log(uniform) * 1e9 / settings_.rate);
}

void LoadRun::Send(uint32_t index, int64_t since) {
  Connection& connection = connections_[index];
  connection.since = since;
  connection.request = static_cast<uint32_t>(Random() % settings_.requests.size());
  connection.in_flight = true;
  ++in_flight_;
  SendAgain(index);
}

void LoadRun::SendAgain(uint32_t index) {
  Connection& connection = connections_[index];
  if (connection.fd < 0) {
    Reopen(index);
    if (connection.fd < 0) return Fail(index, "connect");
  }
  const std::string& request = settings_.requests[connection.request];
  if (connection.tls == nullptr) {
    const Tag tag{.index = index, .generation = connection.generation, .operation = kSend};
    ring_->Send(tag, connection.fd, request.data(), request.size());
  } else {
    if (connection.encrypted) {
      connection.tls->Write(request);
    } else {
      connection.tls->Advance();
    }
    Flush(index);
  }
  Receive(index, /*expect_wait=*/true);
}

void LoadRun::Flush(uint32_t index) {
  Connection& connection = connections_[index];
  if (!connection.tls->TakeOutput(connection.out)) return;
  const Tag tag{.index = index, .generation = connection.generation, .operation = kSend};
  ring_->Send(tag, connection.fd, connection.out.data(), connection.out.size());
}

void LoadRun::Receive(uint32_t index, bool expect_wait) {
  Connection& connection = connections_[index];
  const Tag tag{.index = index, .generation = connection.generation, .operation = kReceive};
  if (connection.tls != nullptr) {
    ring_->Recv(tag, connection.fd, connection.raw, kBufferBytes, 0, expect_wait);
  } else if (connection.in_body) {
    const size_t wanted = std::min<uint64_t>(connection.body_left, kBodyBytes);
    ring_->Recv(tag, connection.fd, connection.buffer, wanted, MSG_TRUNC, expect_wait);
  } else {
    ring_->Recv(tag, connection.fd, connection.buffer + connection.have,
                kBufferBytes - connection.have, 0, expect_wait);
  }
}

bool LoadRun::HandleBytes(uint32_t index, size_t size) {
  Connection& connection = connections_[index];
  if (connection.in_body) {
    connection.body_left -= std::min<uint64_t>(connection.body_left, size);
    if (connection.body_left > 0) return true;
    Complete(index);
    return false;
  }
  const auto failed = [&](const char* reason) {
    Fail(index, reason);
    return false;
  };
  connection.have += size;
  ResponseHead head;
  switch (ReadResponseHead({connection.buffer, connection.have}, head)) {
    case HeadResult::kUnsupported:
      return failed("unsupported response");
    case HeadResult::kIncomplete:
      return connection.have < kBufferBytes || failed("head too large");
    case HeadResult::kComplete:
      break;
  }
  const uint64_t body_here = connection.have - head.size;
  if (body_here > head.content_length) return failed("bytes after the response");
  connection.status = head.status;
  connection.close_after = head.close || settings_.close_each;
  connection.body_left = head.content_length - body_here;
  body_bytes_ += head.content_length;
  connection.have = 0;
  connection.in_body = connection.body_left > 0;
  if (!connection.in_body) Complete(index);
  return connection.in_body;
}

void LoadRun::HandleRaw(uint32_t index, size_t size) {
  Connection& connection = connections_[index];
  TlsClient& tls = *connection.tls;
  tls.Feed({connection.raw, size});
  if (!connection.encrypted) {
    const TlsClient::Handshake progress = tls.Advance();
    if (progress == TlsClient::Handshake::kFailed) return Fail(index, "handshake");
    if (progress == TlsClient::Handshake::kDone) {
      connection.encrypted = true;
      // Goes with what ends the handshake.
      tls.Write(settings_.requests[connection.request]);
    }
    Flush(index);
    return Receive(index, /*expect_wait=*/true);
  }
  while (true) {
    const size_t start = connection.in_body ? 0 : connection.have;
    const int count = tls.Read(connection.buffer + start, kBufferBytes - start);
    if (count < 0) return HandleEnd(index, 0);
    if (count == 0) return Receive(index, /*expect_wait=*/true);
    // When the response is complete the connection is with its next request, or is another one.
    if (!HandleBytes(index, static_cast<size_t>(count))) return;
  }
}

void LoadRun::HandleEnd(uint32_t index, int error) {
  Connection& connection = connections_[index];
  // A server may close a resting connection at any time; a request that crossed that on its way is
  // sent again, once, and its latency goes on counting (RFC 9112, section 9.3.1).
  if (connection.reused && connection.have == 0 && !connection.in_body) {
    ++retried_;
    Reopen(index);
    return SendAgain(index);
  }
  Fail(index, error == 0 ? "closed early" : strerrorname_np(error));
}

void LoadRun::Complete(uint32_t index) {
  Connection& connection = connections_[index];
  connection.in_body = false;
  connection.reused = true;
  latencies_.Record(now_ - connection.since);
  ++completed_;
  if (connection.status < 200 || connection.status > 299) ++bad_statuses_[connection.status];
  if (connection.close_after) Reopen(index);
  Rest(index);
}

void LoadRun::Fail(uint32_t index, const char* reason) {
  ++errors_[reason];
  Reopen(index);
  Rest(index);
}

// The request of this connection has ended, one way or the other.
void LoadRun::Rest(uint32_t index) {
  connections_[index].in_flight = false;
  --in_flight_;
  // What failed is tried anew with the next turn, so that a dead server does not make this recurse.
  if (stopping_ || settings_.rate > 0 || connections_[index].fd < 0) {
    resting_.push_back(index);
    return;
  }
  Send(index, now_);
}

void LoadRun::StartDue() {
  if (stopping_) return;
  if (settings_.rate <= 0) {
    for (size_t left = resting_.size(); left > 0; --left) {
      const uint32_t index = resting_.front();
      resting_.pop_front();
      Send(index, now_);
    }
    return;
  }
  for (; next_due_ <= now_; next_due_ += NextDistance()) {
    if (waiting_.size() < kMostWaiting) waiting_.push_back(next_due_);
  }
  while (!waiting_.empty() && !resting_.empty()) {
    const uint32_t index = resting_.front();
    resting_.pop_front();
    const int64_t since = waiting_.front();
    waiting_.pop_front();
    Send(index, since);
  }
}

void LoadRun::Turn(int64_t deadline) {
  now_ = NowNanos();
  StartDue();
  if (settings_.rate > 0 && !stopping_) deadline = std::min(deadline, next_due_);
  ring_->Wait(std::min(deadline, now_ + kTickNanos));
  now_ = NowNanos();
  ring_->Reap([this](Tag tag, int result, bool) {
    Connection& connection = connections_[tag.index];
    // A failed send is followed by the end of the connection; operations of a connection that has
    // been replaced say nothing any more.
    if (tag.operation != kReceive || tag.generation != (connection.generation & 0xffffff)) return;
    if (!connection.in_flight) return;
    if (result > 0) {
      const auto size = static_cast<size_t>(result);
      if (connection.tls != nullptr) {
        HandleRaw(tag.index, size);
      } else if (HandleBytes(tag.index, size)) {
        Receive(tag.index, /*expect_wait=*/!connection.in_body);
      }
    } else {
      HandleEnd(tag.index, -result);
    }
  });
}

nlohmann::json LoadRun::Measure() {
  for (uint32_t i = 0; i < connections_.size(); ++i) {
    if (!Open(connections_[i]).ok()) {
      ::close(connections_[i].fd);
      connections_[i].fd = -1;
    }
    resting_.push_back(i);
  }
  now_ = NowNanos();
  next_due_ = now_;
  const int64_t begin = now_ + settings_.warm_up_nanos;
  const int64_t settle = begin - std::min(kSettleNanos, settings_.warm_up_nanos / 2);
  while (now_ < settle) Turn(settle);
  const ProcessTimes others_before = ReadProcessTimes(settings_.pids);
  const int64_t others_since = NowNanos();
  while (now_ < begin) Turn(begin);

  latencies_.Clear();
  completed_ = body_bytes_ = retried_ = reopened_ = 0;
  errors_.clear();
  bad_statuses_.clear();
  // A backlog of the warm-up is not held against the window.
  waiting_.clear();
  const CpuSample before = TakeCpuSample(settings_.pids);
  const int64_t end = before.at + settings_.window_nanos;
  while (now_ < end) Turn(end);
  const CpuSample after = TakeCpuSample(settings_.pids);
  nlohmann::json report = Report(before, after);
  const int64_t others_ticks = TicksBetween(others_before, ReadProcessTimes(settings_.pids));
  report["others"] = {{"ticks", others_ticks},
                      {"seconds", static_cast<double>(NowNanos() - others_since) / 1e9}};

  stopping_ = true;
  waiting_.clear();
  const int64_t patience = now_ + kDrainNanos;
  while (in_flight_ > 0 && now_ < patience) Turn(patience);
  return report;
}

nlohmann::json LoadRun::Report(const CpuSample& before, const CpuSample& after) const {
  Histogram latencies = latencies_;
  // Requests that are still waited for count with their age: leaving them out would flatter a
  // server that cannot keep up.
  uint64_t unanswered = 0;
  if (settings_.rate > 0) {
    for (const int64_t since : waiting_) latencies.Record(after.at - since);
    for (const Connection& connection : connections_) {
      if (connection.in_flight) ++unanswered;
    }
    unanswered += waiting_.size();
  }
  const double seconds = static_cast<double>(after.at - before.at) / 1e9;
  uint64_t failed = 0;
  nlohmann::json errors = nlohmann::json::object();
  for (const auto& [reason, count] : errors_) {
    errors[reason] = count;
    failed += count;
  }
  for (const auto& [status, count] : bad_statuses_) {
    errors[absl::StrCat("status ", status)] = count;
    failed += count;
  }
  nlohmann::json report = Difference(before, after);
  report["requests"] = completed_;
  report["requests_per_second"] = static_cast<double>(completed_) / seconds;
  report["body_bytes"] = body_bytes_;
  report["p50_us"] = Micros(latencies.Quantile(0.5));
  report["p99_us"] = Micros(latencies.Quantile(0.99));
  report["p999_us"] = Micros(latencies.Quantile(0.999));
  report["max_us"] = Micros(latencies.largest());
  report["failed"] = failed;
  report["errors"] = std::move(errors);
  report["retried"] = retried_;
  report["reopened"] = reopened_;
  report["unanswered"] = unanswered;
  return report;
}

absl::Status LoadRun::TouchEach() {
  stopping_ = true;
  uint32_t next = 0;
  while (next < connections_.size() || in_flight_ > 0) {
    now_ = NowNanos();
    while (next < connections_.size() && in_flight_ < kTouchedAtOnce) {
      if (absl::Status opened = Open(connections_[next]); !opened.ok()) return opened;
      Send(next, now_);
      ++next;
    }
    Turn(now_ + kDrainNanos);
    if (!errors_.empty() || !bad_statuses_.empty()) {
      return absl::UnavailableError(absl::StrCat(
          "a request failed: ", errors_.empty()
                                    ? absl::StrCat("status ", bad_statuses_.begin()->first)
                                    : errors_.begin()->first));
    }
  }
  return absl::OkStatus();
}

}  // namespace portico::bench
