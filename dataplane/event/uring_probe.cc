#include "dataplane/event/uring_probe.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <fstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "dataplane/base/buffer.h"
#include "dataplane/event/uring_buffers.h"
#include "dataplane/event/uring_engine.h"
#include "dataplane/event/uring_ring.h"

namespace portico::event {
namespace {

// 64 bytes for each submission, 16 for each completion. More of both than these only
// cost further system calls.
constexpr unsigned kSubmissions = 1024;
constexpr unsigned kCompletions = 8192;

// 0: everybody may, 1: members of a group, 2: nobody. The first when there is no such
// setting (before Linux 6.6).
int DisabledSetting() {
  std::ifstream file("/proc/sys/kernel/io_uring_disabled");
  int value = 0;
  return file >> value ? value : 0;
}

}  // namespace

std::optional<UringRefusal> ProbeUring() {
  UringRing ring;
  if (const int error = ring.Open(4, 8); error != 0) return RefusalOf(error);
  base::BufferPool pool;
  UringBuffers buffers(pool, base::BufferPool::kSmall, 0, 1);
  if (const int error = buffers.Register(ring); error != 0) return RefusalOf(error);
  if (const int error = ring.Enable(); error != 0) return RefusalOf(error);
  if (const int error = ring.Try(); error < 0) return RefusalOf(error);
  return std::nullopt;
}

UringRefusal RefusalOf(int error) {
  const std::string said = absl::StrCat("the kernel refuses io_uring (", strerror(-error), "): ");
  switch (error) {
    case -EPERM:
    case -EACCES:
      if (const int setting = DisabledSetting(); setting != 0) {
        return {"disabled_by_sysctl",
                absl::StrCat(said, "kernel.io_uring_disabled is ", setting,
                             "; set it to 0, or to 1 and run the proxy in the group kernel.io_uring_group")};
      }
      return {"blocked", absl::StrCat(said, "a seccomp filter or security module blocks it, as container runtimes do by "
                                            "default; allow io_uring_setup, io_uring_enter and io_uring_register")};
    case -ENOSYS:
      return {"not_in_kernel", absl::StrCat(said, "it is not built in, or a sandbox hides it; use a kernel from 6.1 on "
                                                  "with CONFIG_IO_URING")};
    case -EINVAL:
    case -EOPNOTSUPP:
    case -EBADF:
      return {"kernel_too_old", absl::StrCat(said, "this kernel lacks a part of it that is needed; use one from 6.1 on")};
    case -ENOMEM:
    case -EAGAIN:
      return {"no_memory", absl::StrCat(said, "raise the limit of locked memory (ulimit -l) or of the cgroup's memory")};
    case -EMFILE:
    case -ENFILE:
      return {"no_descriptors", absl::StrCat(said, "raise the limit of open files (ulimit -n)")};
    default:
      return {"blocked", absl::StrCat(said, "something forbids it; allow io_uring_setup, io_uring_enter and "
                                            "io_uring_register")};
  }
}

int OpenUringEngine(unsigned gather_micros, std::unique_ptr<Engine>& engine) {
  auto ring = std::make_unique<UringRing>();
  if (const int error = ring->Open(kSubmissions, kCompletions); error != 0) return error;
  const int wake_fd = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (wake_fd < 0) return -errno;
  engine = std::make_unique<UringEngine>(std::move(ring), wake_fd, gather_micros);
  return 0;
}

}  // namespace portico::event
