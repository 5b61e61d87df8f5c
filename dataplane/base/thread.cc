#include "dataplane/base/thread.h"

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>

namespace portico::base {
namespace {

constexpr size_t kMaxName = 15;
constexpr int kNicest = 19;

}  // namespace

void NameThread(const std::string& name) {
  pthread_setname_np(pthread_self(), name.substr(0, kMaxName).c_str());
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
