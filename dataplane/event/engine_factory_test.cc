#include "dataplane/event/engine_factory.h"

#include <errno.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <utility>

#include "dataplane/base/clock.h"
#include "dataplane/event/loop.h"

namespace portico::event {
namespace {

using testing::HasSubstr;

bool KernelIsAtLeast(int major, int minor) {
  utsname name = {};
  int have_major = 0, have_minor = 0;
  return ::uname(&name) == 0 && std::sscanf(name.release, "%d.%d", &have_major, &have_minor) == 2 &&
         (have_major > major || (have_major == major && have_minor >= minor));
}

// From now on this process gets `error` for io_uring_setup, as in most containers.
bool ForbidUring(int error) {
  sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(error)),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program = {std::size(code), code};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

// From now on the kernel borrows no buffers of this process.
bool ForbidBufferRings() {
  constexpr uint32_t kRegisterBufferRing = 22;
  sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_register, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[1])),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kRegisterBufferRing, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(ENOMEM)),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program = {std::size(code), code};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

// In a process of its own: receives where the kernel borrows no buffers.
[[noreturn]] void ReceiveWithoutBufferRings(std::unique_ptr<Engine> engine) {
  if (!ForbidBufferRings()) std::exit(2);
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) != 0) std::exit(3);
  Loop loop(std::move(engine), base::RealClock());
  int received = 0;
  for (int i = 0; i < 3; ++i) {
    ReceiveOperation receive;
    receive.fd = fds[0];
    receive.pool = &loop.upstream_buffers();
    receive.on_complete = [](Operation&) {};
    loop.engine().StartReceive(receive);
    if (::send(fds[1], "bytes", 5, MSG_NOSIGNAL) != 5) std::exit(4);
    while (receive.pending()) loop.RunOnce(-1);
    received += receive.result();
    receive.buffer.Reset();
  }
  std::fprintf(stderr, "received %d, refused %d\n", received,
               static_cast<int>(loop.engine().stats().buffer_refusals.load()));
  std::exit(0);
}

// In a process of its own: prints what the factory does where io_uring is forbidden.
[[noreturn]] void SayWhatHappens(int error) {
  if (!ForbidUring(error)) std::exit(2);
  const absl::StatusOr<EngineSet> chosen = CreateEngines(EngineKind::kAuto, 2);
  if (!chosen.ok() || !chosen->refusal.has_value()) std::exit(3);
  const absl::StatusOr<EngineSet> wanted = CreateEngines(EngineKind::kUring, 1);
  std::fprintf(stderr, "%s x%zu, %s; %s\n", EngineKindName(chosen->kind).data(),
               chosen->engines.size(), chosen->refusal->reason.c_str(),
               std::string(wanted.status().message()).c_str());
  std::exit(0);
}

TEST(EngineFactory, KindsHaveNames) {
  for (const EngineKind kind : {EngineKind::kAuto, EngineKind::kUring, EngineKind::kEpoll}) {
    EXPECT_EQ(ParseEngineKind(EngineKindName(kind)), kind);
  }
  EXPECT_EQ(ParseEngineKind("io_uring"), std::nullopt);
  EXPECT_EQ(ParseEngineKind(""), std::nullopt);
}

TEST(EngineFactory, AutoIsUringUnlessThereIsAReason) {
  const absl::StatusOr<EngineSet> set = CreateEngines(EngineKind::kAuto, 3);
  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_EQ(set->engines.size(), 3u);
  EXPECT_EQ(set->kind, set->refusal.has_value() ? EngineKind::kEpoll : EngineKind::kUring);
  if (set->refusal.has_value()) {
    // An engine of ours that the kernel does not understand looks like an old kernel.
    EXPECT_FALSE(set->refusal->reason == "kernel_too_old" && KernelIsAtLeast(6, 1))
        << set->refusal->message;
    EXPECT_FALSE(set->refusal->message.empty());
  }
  EXPECT_EQ(CreateEngines(EngineKind::kEpoll, 1)->kind, EngineKind::kEpoll);
}

TEST(EngineFactoryDeathTest, ForbiddenUringFallsBackWithItsReason) {
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  EXPECT_EXIT(SayWhatHappens(ENOSYS), testing::ExitedWithCode(0),
              "epoll x2, not_in_kernel; .*kernel from 6.1 on");
  EXPECT_EXIT(SayWhatHappens(EPERM), testing::ExitedWithCode(0),
              "epoll x2, (blocked|disabled_by_sysctl); ");
}

TEST(EngineFactoryDeathTest, ReceivesWithoutBufferRingsAndAsksOnce) {
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  absl::StatusOr<std::unique_ptr<Engine>> uring = CreateEngine(EngineKind::kUring);
  // Where there is no io_uring there is nothing to be refused.
  if (!uring.ok()) return;
  EXPECT_EXIT(ReceiveWithoutBufferRings(*std::move(uring)), testing::ExitedWithCode(0),
              "received 15, refused 1");
}

TEST(EngineFactory, WithoutDescriptorsBothSaySo) {
  rlimit before = {};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none = {0, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  const absl::Status uring = CreateEngine(EngineKind::kUring).status();
  const absl::Status automatic = CreateEngine(EngineKind::kAuto).status();
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(uring.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(automatic.code(), absl::StatusCode::kResourceExhausted) << automatic;
  if (CreateEngine(EngineKind::kUring).ok()) {
    EXPECT_THAT(std::string(uring.message()), HasSubstr("ulimit -n"));
  }
}

}  // namespace
}  // namespace portico::event
