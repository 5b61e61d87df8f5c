#include "dataplane/event/pipe.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <utility>

#include "dataplane/base/check.h"

namespace portico::event {

Pipe::~Pipe() {
  ::close(read_end_);
  ::close(write_end_);
}

void ReturnPipe::operator()(Pipe* pipe) const { pipe->pool_.Return(std::unique_ptr<Pipe>(pipe)); }

PipePool::PipePool(size_t max_pipes) : max_pipes_(max_pipes) {
  struct sigaction action = {};
  if (::sigaction(SIGPIPE, nullptr, &action) == 0 && action.sa_handler == SIG_DFL) ::signal(SIGPIPE, SIG_IGN);
  idle_.reserve(max_pipes);
}

PipePool::~PipePool() { PORTICO_CHECK(live_ == 0); }

PipeLease PipePool::Take() {
  if (live_ >= max_pipes_) return nullptr;
  std::unique_ptr<Pipe> pipe;
  if (!idle_.empty()) {
    pipe = std::move(idle_.back());
    idle_.pop_back();
  } else {
    pipe = Create();
  }
  if (pipe == nullptr) return nullptr;
  ++live_;
  return PipeLease(pipe.release());
}

std::unique_ptr<Pipe> PipePool::Create() {
  int ends[2];
  if (::pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0) return nullptr;
  // Refused beyond what one user may have in pipes; a smaller one serves as well.
  ::fcntl(ends[1], F_SETPIPE_SZ, static_cast<int>(kPipeBytes));
  // owned: by the unique_ptr; the constructor is not public.
  return std::unique_ptr<Pipe>(new Pipe(*this, ends[0], ends[1]));
}

void PipePool::Return(std::unique_ptr<Pipe> pipe) {
  --live_;
  // What was not sent must not come out of it later: closed.
  if (pipe->size() == 0) idle_.push_back(std::move(pipe));
}

}  // namespace portico::event
