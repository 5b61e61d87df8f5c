// The access log: written by workers as records, formatted and stored by one
// thread.
#ifndef DATAPLANE_OBSERVE_ACCESS_LOG_H_
#define DATAPLANE_OBSERVE_ACCESS_LOG_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "dataplane/base/clock.h"
#include "dataplane/net/address.h"

namespace portico::observe {

// What one line says. Texts are copied into the ring while Write() runs.
struct AccessRecord {
  base::UnixNanos start = 0;
  int64_t duration_nanos = 0, upstream_duration_nanos = 0;
  net::IpAddress client;
  uint16_t client_port = 0;
  std::string_view request_id, method, host, path, route, upstream, endpoint, consumer, reason,
      detail;
  std::string_view listener, protocol, user_agent;
  // TlsInfo::version; whom the client's certificate names. Empty: none.
  std::string_view tls_version, tls_client;
  bool query = false;  // The request had one.
  int status = 0;
  int grpc_status = -1;  // -1: none
  uint64_t request_bytes = 0, response_bytes = 0;
  uint32_t attempts = 0;
  // Name, value.
  absl::Span<const std::pair<std::string_view, std::string_view>> request_headers, response_headers;
};

// Where one worker puts records: a bounded single-producer ring. Write() never
// waits; false (and counted) when the ring is full.
class AccessLogWriter {
 public:
  virtual ~AccessLogWriter() = default;
  // `sink`: from AccessLogService::Sink.
  virtual bool Write(uint32_t sink, const AccessRecord& record) = 0;
};

// Owns the files and the thread. Thread-safe.
class AccessLogService {
 public:
  // `ring_bytes`: per worker. Starts the thread.
  static std::unique_ptr<AccessLogService> Create(size_t ring_bytes);
  virtual ~AccessLogService() = default;

  // Opens (or finds) the destination. Errors: path and errno text.
  virtual absl::StatusOr<uint32_t> Sink(const std::string& path) = 0;
  // One per worker; must not outlive the service.
  virtual std::unique_ptr<AccessLogWriter> MakeWriter() = 0;
  // Reopens files (log rotation).
  virtual void Reopen() = 0;
  // Returns when everything written before is stored.
  virtual void Flush() = 0;
  virtual uint64_t dropped() const = 0;
};

}  // namespace portico::observe

#endif  // DATAPLANE_OBSERVE_ACCESS_LOG_H_
