// Drives a loop until a task has ended: for tests.
#ifndef DATAPLANE_EVENT_RUN_TASK_H_
#define DATAPLANE_EVENT_RUN_TASK_H_

#include <utility>

#include "dataplane/base/check.h"
#include "dataplane/event/loop.h"
#include "dataplane/event/task.h"

namespace portico::event {

// Turns `loop` until `done()` holds; false when it does not after `max_turns`,
// each waiting at most `wait_nanos` for I/O.
template <typename Predicate>
bool RunUntil(Loop& loop, Predicate done, int max_turns = 20'000, int64_t wait_nanos = base::kNanosPerMilli) {
  for (int turn = 0; turn < max_turns; ++turn) {
    if (done()) return true;
    loop.RunOnce(wait_nanos);
  }
  return done();
}

// Starts `task` without awaiting it: ask it whether it is done, and take its result.
template <typename T>
Task<T> Started(Task<T> task) {
  if (task.has_source()) task = internal::Framed(std::move(task));
  task.Start();
  return task;
}

// Starts `task`, turns the loop until it has ended, and returns its result.
// Aborts when it does not end.
template <typename T>
T RunTask(Loop& loop, Task<T> task) {
  task = Started(std::move(task));
  PORTICO_CHECK(RunUntil(loop, [&task] { return task.done(); }));
  return task.Take();
}

}  // namespace portico::event

#endif  // DATAPLANE_EVENT_RUN_TASK_H_
