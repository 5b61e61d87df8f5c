#include "dataplane/base/thread.h"

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <thread>

#include "gtest/gtest.h"

namespace portico::base {
namespace {

struct Seen {
  int policy = -1;
  int niceness = -100;
  std::string name;
};

Seen Look() {
  char name[32] = {};
  pthread_getname_np(pthread_self(), name, sizeof name);
  return {sched_getscheduler(0), getpriority(PRIO_PROCESS, static_cast<id_t>(gettid())), name};
}

template <typename Body>
void InThread(Body body) {
  std::thread(body).join();
}

TEST(ThreadTest, BackgroundThreadsGiveWayAndSoDoThoseTheyStart) {
  InThread([] {
    const Seen before = Look();
    BecomeBackgroundThread("configuration-and-more");
    BecomeBackgroundThread("");
    const Seen after = Look();
    EXPECT_EQ(after.policy, SCHED_BATCH);
    EXPECT_EQ(after.niceness, std::min(before.niceness + kBackgroundNiceness, 19));
    EXPECT_EQ(after.name, "configuration-a");
    InThread([&] {
      EXPECT_EQ(Look().policy, SCHED_BATCH);
      EXPECT_EQ(Look().niceness, after.niceness);
    });
  });
}

TEST(ThreadTest, HowMuchNicerMayBeChosen) {
  InThread([] {
    const Seen before = Look();
    BecomeBackgroundThread("", kFollowingNiceness);
    EXPECT_EQ(Look().niceness, std::min(before.niceness + kFollowingNiceness, 19));
    EXPECT_EQ(Look().name, before.name);
  });
}

TEST(ThreadTest, NamesAreCutToWhatTheKernelKeeps) {
  InThread([] {
    NameThread("worker-12345678901234567890");
    EXPECT_EQ(Look().name, "worker-12345678");
  });
}

TEST(ThreadTest, ServingThreadsKeepPolicyAndNiceness) {
  const Seen before = Look();
  InThread([&] {
    BecomeServingThread("worker-7");
    const Seen after = Look();
    EXPECT_EQ(after.policy, before.policy);
    EXPECT_EQ(after.niceness, before.niceness);
    EXPECT_EQ(after.name, "worker-7");
    // What it starts can still become a background thread.
    InThread([&] {
      BecomeBackgroundThread("access-log");
      EXPECT_EQ(Look().policy, SCHED_BATCH);
    });
  });
}

TEST(ThreadTest, OtherThreadsStayAsTheyAre) {
  const Seen before = Look();
  InThread([] { BecomeBackgroundThread("other"); });
  const Seen after = Look();
  EXPECT_EQ(after.policy, before.policy);
  EXPECT_EQ(after.niceness, before.niceness);
  EXPECT_EQ(after.name, before.name);
}

}  // namespace
}  // namespace portico::base
