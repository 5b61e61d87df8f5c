#include "dataplane/base/thread.h"

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>

namespace portico::base {
namespace {

constexpr size_t kMaxName = 15;
constexpr int kNicest = 19;

// sched_setattr(2), which the C library does not know.
struct SchedulerAttributes {
  uint32_t size;
  uint32_t policy;
  uint64_t flags;
  int32_t niceness;
  uint32_t priority;
  uint64_t runtime;
  uint64_t deadline;
  uint64_t period;
};

}  // namespace

void NameThread(const std::string& name) {
  pthread_setname_np(pthread_self(), name.substr(0, kMaxName).c_str());
}

void BecomeServingThread(const std::string& name) {
  NameThread(name);
  SchedulerAttributes attributes = {};
  attributes.size = sizeof(attributes);
  if (syscall(SYS_sched_getattr, 0, &attributes, sizeof(attributes), 0) != 0) return;
  // A policy that somebody chose for the whole process is left alone.
  if (attributes.policy != SCHED_OTHER) return;
  attributes.runtime = kServingSliceNanos;
  // Older kernels take no notice of it.
  syscall(SYS_sched_setattr, 0, &attributes, 0);
}

void BecomeBackgroundThread(const std::string& name, int niceness) {
  if (!name.empty()) NameThread(name);
  if (sched_getscheduler(0) != SCHED_OTHER) return;
  const sched_param none = {};
  if (sched_setscheduler(0, SCHED_BATCH, &none) != 0) return;
  // Linux keeps niceness for each thread, though POSIX says process.
  const auto thread = static_cast<id_t>(gettid());
  setpriority(PRIO_PROCESS, thread,
              std::min(getpriority(PRIO_PROCESS, thread) + niceness, kNicest));
}

}  // namespace portico::base
