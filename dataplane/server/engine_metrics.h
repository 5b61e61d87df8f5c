// Which event engine the workers run on, and what it does, as metrics.
#ifndef DATAPLANE_SERVER_ENGINE_METRICS_H_
#define DATAPLANE_SERVER_ENGINE_METRICS_H_

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/event/engine.h"
#include "prometheus/collectable.h"
#include "prometheus/metric_family.h"

namespace portico::server {

// What the proxy chose at its start.
struct EngineChoice {
  std::string name;  // "uring" or "epoll"
  // Why io_uring is not used although it might be: see event::UringRefusal. Empty: it
  // is used, or was not wanted.
  std::string fallback_reason;
  // The reason in words, for whoever reads the log.
  std::string fallback_message;
};

// Says in the log which engine is used, and what it costs where it is the second choice.
void LogEngineChoice(const EngineChoice& choice);

// The portico_io_engine_... metrics, see docs/metrics.md. Thread-safe.
class EngineCollector : public prometheus::Collectable {
 public:
  // `stats`: of every worker's engine, which outlive the last Collect().
  EngineCollector(EngineChoice choice, std::vector<const event::EngineStats*> stats)
      : choice_(std::move(choice)), stats_(std::move(stats)) {}

  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  const EngineChoice choice_;
  const std::vector<const event::EngineStats*> stats_;
};

}  // namespace portico::server

#endif  // DATAPLANE_SERVER_ENGINE_METRICS_H_
