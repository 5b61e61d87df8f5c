#include "dataplane/event/engine_factory.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "dataplane/event/uring_probe.h"

namespace portico::event {
namespace {

constexpr std::pair<std::string_view, EngineKind> kKinds[] = {
    {"auto", EngineKind::kAuto}, {"uring", EngineKind::kUring}, {"epoll", EngineKind::kEpoll}};

// Nothing if all were made.
std::optional<UringRefusal> CreateUringEngines(size_t count, unsigned gather_micros,
                                               std::vector<std::unique_ptr<Engine>>& engines) {
  if (std::optional<UringRefusal> refusal = ProbeUring()) return refusal;
  while (engines.size() < count) {
    std::unique_ptr<Engine> engine;
    if (const int error = OpenUringEngine(gather_micros, engine); error != 0) {
      engines.clear();
      return RefusalOf(error);
    }
    engines.push_back(std::move(engine));
  }
  return std::nullopt;
}

}  // namespace

std::optional<EngineKind> ParseEngineKind(std::string_view name) {
  for (const auto& [candidate, kind] : kKinds) {
    if (candidate == name) return kind;
  }
  return std::nullopt;
}

std::string_view EngineKindName(EngineKind kind) {
  for (const auto& [name, candidate] : kKinds) {
    if (candidate == kind) return name;
  }
  return "";
}

absl::StatusOr<EngineSet> CreateEngines(EngineKind wanted, size_t count, unsigned gather_micros) {
  EngineSet set;
  if (wanted != EngineKind::kEpoll) {
    set.kind = EngineKind::kUring;
    set.refusal = CreateUringEngines(count, gather_micros, set.engines);
    if (!set.refusal.has_value()) return set;
    if (wanted == EngineKind::kUring) return absl::FailedPreconditionError(set.refusal->message);
  }
  set.kind = EngineKind::kEpoll;
  while (set.engines.size() < count) {
    absl::StatusOr<std::unique_ptr<Engine>> engine = CreateEpollEngine();
    if (!engine.ok()) return engine.status();
    set.engines.push_back(*std::move(engine));
  }
  return set;
}

absl::StatusOr<std::unique_ptr<Engine>> CreateEngine(EngineKind wanted, unsigned gather_micros) {
  absl::StatusOr<EngineSet> set = CreateEngines(wanted, 1, gather_micros);
  if (!set.ok()) return set.status();
  return std::move(set->engines.front());
}

}  // namespace portico::event
