#include "dataplane/event/task.h"

#include <cstdio>
#include <cstdlib>
#include <exception>

namespace portico::event {
namespace internal {

void UnhandledException() noexcept {
  try {  // boundary: an exception left a task, which no caller expects; say which.
    throw;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "exception left a task: %s\n", error.what());
  } catch (...) {
    std::fprintf(stderr, "exception of an unknown type left a task\n");
  }
  std::fflush(stderr);
  std::abort();
}

}  // namespace internal

void Spawn(Task<void> task) {
  task.promise().detached = true;
  task.Release().resume();
}

}  // namespace portico::event
