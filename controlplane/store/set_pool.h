// Sets that nobody reads any more, kept for the next revision.
#ifndef CONTROLPLANE_STORE_SET_POOL_H_
#define CONTROLPLANE_STORE_SET_POOL_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>

#include "api/resource/resource.h"

namespace portico::control {

// Copying a set of 100000 resources for every change would cost more than all the rest of the
// change. So the last set that was let go of is kept and brought up to date instead. Thread-safe.
class SetPool : public std::enable_shared_from_this<SetPool> {
 public:
  struct Spare {
    uint64_t revision;
    std::unique_ptr<api::ResourceSet> set;
  };

  // A handle to `set`, the content of `revision`; it comes back to the pool with the last copy of
  // the handle, on whichever thread that is.
  std::shared_ptr<const api::ResourceSet> Share(uint64_t revision,
                                                std::unique_ptr<api::ResourceSet> set);
  // Keeps the newer of `spare` and the one that is there.
  void Put(Spare spare);
  std::optional<Spare> Take();

 private:
  std::mutex mutex_;
  std::optional<Spare> spare_;
};

}  // namespace portico::control

#endif  // CONTROLPLANE_STORE_SET_POOL_H_
