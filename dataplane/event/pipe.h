// Pipes that bytes go through from one socket to another without being copied into
// this process (splice(2)).
#ifndef DATAPLANE_EVENT_PIPE_H_
#define DATAPLANE_EVENT_PIPE_H_

#include <cstddef>
#include <memory>
#include <vector>

namespace portico::event {

class PipePool;

// Both ends, non-blocking, and how much lies between them. An engine fills it by a
// receive and empties it by a send that name it; nobody else reads or writes it.
class Pipe {
 public:
  ~Pipe();
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;

  int read_end() const { return read_end_; }
  int write_end() const { return write_end_; }
  size_t size() const { return size_; }
  void Filled(size_t bytes) { size_ += bytes; }
  void Emptied(size_t bytes) { size_ -= bytes; }

 private:
  friend class PipePool;
  friend struct ReturnPipe;
  Pipe(PipePool& pool, int read_end, int write_end) : pool_(pool), read_end_(read_end), write_end_(write_end) {}

  PipePool& pool_;
  const int read_end_;
  const int write_end_;
  size_t size_ = 0;
};

struct ReturnPipe {
  void operator()(Pipe* pipe) const;
};

// Holds one pipe. It goes back to its pool when it is empty and is closed otherwise.
using PipeLease = std::unique_ptr<Pipe, ReturnPipe>;

// The pipes of one worker, kept for reuse. Not thread-safe. Must outlive its leases
// (checked).
class PipePool {
 public:
  // What one pipe takes at once, in bytes, if the kernel allows it that much.
  static constexpr size_t kPipeBytes = 256 * 1024;

  // At most `max_pipes` exist. Has the process ignore SIGPIPE, which a splice into a
  // closed connection would otherwise end it with.
  explicit PipePool(size_t max_pipes = 64);
  ~PipePool();
  PipePool(const PipePool&) = delete;
  PipePool& operator=(const PipePool&) = delete;

  // An empty pipe, or nullptr when all are out or the kernel gives none: the bytes then
  // go through a buffer.
  PipeLease Take();

  // Handed out.
  size_t live() const { return live_; }
  size_t idle() const { return idle_.size(); }

 private:
  friend struct ReturnPipe;
  std::unique_ptr<Pipe> Create();
  void Return(std::unique_ptr<Pipe> pipe);

  const size_t max_pipes_;
  size_t live_ = 0;
  std::vector<std::unique_ptr<Pipe>> idle_;
};

}  // namespace portico::event

#endif  // DATAPLANE_EVENT_PIPE_H_
