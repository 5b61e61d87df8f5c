// Which engine this kernel allows.
#ifndef DATAPLANE_EVENT_ENGINE_FACTORY_H_
#define DATAPLANE_EVENT_ENGINE_FACTORY_H_

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "dataplane/event/engine.h"

namespace portico::event {

enum class EngineKind { kAuto, kUring, kEpoll };

// "auto", "uring", "epoll".
std::optional<EngineKind> ParseEngineKind(std::string_view name);
std::string_view EngineKindName(EngineKind kind);

// Why there is no io_uring.
struct UringRefusal {
  // A short word that stays the same from version to version, for metrics:
  // "disabled_by_sysctl", "blocked", "not_in_kernel", "kernel_too_old", "no_memory",
  // "no_descriptors".
  std::string reason;
  // A sentence: what the kernel said, and what would help.
  std::string message;
};

struct EngineSet {
  EngineKind kind = EngineKind::kEpoll;  // kUring or kEpoll
  std::vector<std::unique_ptr<Engine>> engines;
  // Set when kAuto was asked for and io_uring could not be had.
  std::optional<UringRefusal> refusal;
};

// `count` engines of one kind, for one loop each. kAuto is io_uring if the kernel
// allows it for all of them, otherwise epoll. `gather_micros`: how long an engine on io_uring
// that is half busy with many clients waits for more of them; 0: not at all. Errors:
// FailedPrecondition that says why and what to do when kUring is not possible,
// ResourceExhausted when epoll is not.
absl::StatusOr<EngineSet> CreateEngines(EngineKind wanted, size_t count,
                                        unsigned gather_micros = 0);
// One of them.
absl::StatusOr<std::unique_ptr<Engine>> CreateEngine(EngineKind wanted, unsigned gather_micros = 0);

}  // namespace portico::event

#endif  // DATAPLANE_EVENT_ENGINE_FACTORY_H_
