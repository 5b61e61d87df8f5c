// What the kernel's scheduler is told of a thread.
#ifndef DATAPLANE_BASE_THREAD_H_
#define DATAPLANE_BASE_THREAD_H_

#include <cstdint>
#include <string>

namespace portico::base {

// How much nicer background threads are than those that serve. On a processor that a busy
// background thread shares with a busy worker it gets a tenth of the time: the worker hardly
// notices, and yet everything ends in bounded time.
inline constexpr int kBackgroundNiceness = 10;
// The same for a thread that has to keep up with the workers: a quarter of the time.
inline constexpr int kFollowingNiceness = 5;

// At most 15 bytes of `name` count.
void NameThread(const std::string& name);

// What a serving thread asks the scheduler for at a time, in nanoseconds: the least that Linux
// knows. It does not get less of the processor in all; but when it wakes up, it has its turn before
// threads with longer slices, which otherwise go on for milliseconds (from Linux 6.12 on).
inline constexpr uint64_t kServingSliceNanos = 100'000;

// For a thread that serves requests: names it, and makes its slices short.
void BecomeServingThread(const std::string& name);

// For all that does not serve requests: names the calling thread ("" leaves its name), and makes it
// and the threads that it starts from now on give way to serving threads: SCHED_BATCH, so that
// waking up never takes the processor from another thread, and nicer by `niceness`, once however
// often this is called. There is no way back without privileges. A policy that somebody chose for
// the whole process (chrt) is left alone.
void BecomeBackgroundThread(const std::string& name, int niceness = kBackgroundNiceness);

}  // namespace portico::base

#endif  // DATAPLANE_BASE_THREAD_H_
