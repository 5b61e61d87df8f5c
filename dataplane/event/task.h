// Coroutines of one worker.
#ifndef DATAPLANE_EVENT_TASK_H_
#define DATAPLANE_EVENT_TASK_H_

#include <coroutine>
#include <cstddef>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

#include "dataplane/base/check.h"
#include "dataplane/event/frame_pool.h"

namespace portico::event {

template <typename T>
class Task;
class TaskGroup;

namespace internal {

// Reports the exception's text and aborts: tasks return Status.
[[noreturn]] void UnhandledException() noexcept;
void GroupChildEnded(TaskGroup& group) noexcept;

class PromiseBase {
 public:
  static void* operator new(size_t size) { return AllocateFrame(size); }
  static void operator delete(void* frame, size_t size) noexcept { FreeFrame(frame, size); }

  struct FinalAwaiter {
    // A detached frame runs off its end and frees itself.
    bool detached;
    bool await_ready() const noexcept { return detached; }
    template <typename Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> self) const noexcept {
      PromiseBase& promise = self.promise();
      if (promise.join != nullptr && --*promise.join != 0) return std::noop_coroutine();
      // Without a continuation the task ended inside await_ready(), and whoever
      // started it goes on by itself.
      if (!promise.continuation) return std::noop_coroutine();
      return promise.continuation;
    }
    void await_resume() const noexcept {}
  };

  std::suspend_always initial_suspend() const noexcept { return {}; }
  FinalAwaiter final_suspend() noexcept {
    if (detached && group != nullptr) GroupChildEnded(*group);
    return {detached};
  }
  void unhandled_exception() const noexcept { UnhandledException(); }

  std::coroutine_handle<> continuation;
  // Shared by the children of one Both(): the last one to end resumes.
  size_t* join = nullptr;
  TaskGroup* group = nullptr;
  bool detached = false;
};

template <typename T>
class Promise final : public PromiseBase {
 public:
  Task<T> get_return_object() noexcept;
  template <typename U>
  void return_value(U&& value) {
    value_.emplace(std::forward<U>(value));
  }
  T Take() { return std::move(*value_); }

 private:
  std::optional<T> value_;
};

template <>
class Promise<void> final : public PromiseBase {
 public:
  Task<void> get_return_object() noexcept;
  void return_void() const noexcept {}
  void Take() const {}
};

}  // namespace internal

// An operation whose state is part of an object, so that waiting for it needs no
// frame: what a Task may stand for instead of a coroutine. Whoever awaits the task
// calls Begin(), then, unless it said true, Suspend(), and at the end Take().
template <typename T>
class TaskSource {
 public:
  // Starts. True: there is nothing to wait for.
  virtual bool Begin() = 0;
  // Resumes `waiter` later, never inline.
  virtual void Suspend(std::coroutine_handle<> waiter) = 0;
  virtual T Take() = 0;

 protected:
  ~TaskSource() = default;
};

// The result of a coroutine, which runs when it is awaited:
//
//   Task<absl::Status> F(...);
//   absl::Status status = co_await F(...);
//   Task<int> task = G(...);  ...  int value = co_await std::move(task);
//
// Rules:
// - A task that was started must end: destroying a suspended one aborts. Cancel
//   what it waits for (CancelScope) and await its end.
// - Never `co_await (c ? A() : B())`: use if/else (a compiler bug frees the task
//   too early).
// - Arguments taken by reference must outlive the task; a temporary argument lives
//   only until the end of the co_await expression.
// - The child starts before the parent suspends, so a loop over tasks that end at
//   once uses no stack. Deep recursion does, like calls.
// - Stays on the thread that made it. Exceptions that leave a task abort.
template <typename T = void>
class [[nodiscard]] Task {
 public:
  using promise_type = internal::Promise<T>;
  using Handle = std::coroutine_handle<promise_type>;

  Task() = default;
  explicit Task(Handle handle) : handle_(handle) {}
  // `source` outlives the task. Only to be awaited directly, or given to Both().
  explicit Task(TaskSource<T>& source) : source_(&source) {}
  Task(Task&& other) noexcept
      : handle_(std::exchange(other.handle_, {})),
        source_(std::exchange(other.source_, nullptr)),
        started_(std::exchange(other.started_, false)) {}
  Task& operator=(Task&& other) noexcept {
    if (this != &other) {
      Destroy();
      handle_ = std::exchange(other.handle_, {});
      source_ = std::exchange(other.source_, nullptr);
      started_ = std::exchange(other.started_, false);
    }
    return *this;
  }
  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;
  ~Task() { Destroy(); }

  explicit operator bool() const { return handle_ || source_ != nullptr; }
  bool done() const { return handle_ && handle_.done(); }

  class Awaiter {
   public:
    explicit Awaiter(Task& task) : task_(task) {}
    bool await_ready() {
      if (task_.source_ != nullptr) return task_.source_->Begin();
      task_.Start();
      return task_.handle_.done();
    }
    void await_suspend(std::coroutine_handle<> parent) {
      if (task_.source_ != nullptr) return task_.source_->Suspend(parent);
      task_.handle_.promise().continuation = parent;
    }
    T await_resume() {
      if (task_.source_ != nullptr) return task_.source_->Take();
      return task_.Take();
    }

   private:
    Task& task_;
  };
  Awaiter operator co_await() && { return Awaiter(*this); }

  // For the pieces that awaitables are made of; not for general use, and for
  // coroutines only.
  bool has_source() const { return source_ != nullptr; }
  void Start() {
    PORTICO_CHECK(handle_ && !started_);
    started_ = true;
    handle_.resume();
  }
  T Take() { return handle_.promise().Take(); }
  promise_type& promise() { return handle_.promise(); }
  Handle Release() { return std::exchange(handle_, {}); }

 private:
  void Destroy() noexcept {
    if (!handle_) return;
    PORTICO_CHECK(!started_ || handle_.done());
    handle_.destroy();
    handle_ = {};
  }

  Handle handle_;
  TaskSource<T>* source_ = nullptr;
  bool started_ = false;
};

// A task that has ended: how a function that need not wait says so.
template <typename T>
Task<T> Ended(T result) {
  co_return result;
}

namespace internal {

template <typename T>
Task<T> Promise<T>::get_return_object() noexcept {
  return Task<T>(std::coroutine_handle<Promise<T>>::from_promise(*this));
}
inline Task<void> Promise<void>::get_return_object() noexcept {
  return Task<void>(std::coroutine_handle<Promise<void>>::from_promise(*this));
}

// What a Task<T> gives in a pair: void becomes std::monostate.
template <typename T>
using Lifted = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

template <typename T>
Lifted<T> TakeLifted(Task<T>& task) {
  if constexpr (std::is_void_v<T>) {
    task.Take();
    return {};
  } else {
    return task.Take();
  }
}

// A coroutine, whatever `task` is.
template <typename T>
Task<T> Framed(Task<T> task) {
  co_return co_await std::move(task);
}

template <typename A, typename B>
class BothAwaiter {
 public:
  BothAwaiter(Task<A>& a, Task<B>& b) : a_(a), b_(b) {}
  bool await_ready() {
    a_.Start();
    b_.Start();
    return a_.done() && b_.done();
  }
  void await_suspend(std::coroutine_handle<> parent) noexcept {
    Join(a_, parent);
    Join(b_, parent);
  }
  void await_resume() const noexcept {}

 private:
  template <typename T>
  void Join(Task<T>& task, std::coroutine_handle<> parent) noexcept {
    if (task.done()) return;
    ++pending_;
    task.promise().continuation = parent;
    task.promise().join = &pending_;
  }

  Task<A>& a_;
  Task<B>& b_;
  size_t pending_ = 0;
};

}  // namespace internal

// Runs two tasks at the same time; ends when both have ended, whatever they
// returned. To end one when the other fails, share a CancelScope.
template <typename A, typename B>
Task<std::pair<internal::Lifted<A>, internal::Lifted<B>>> Both(Task<A> a, Task<B> b) {
  if (a.has_source()) a = internal::Framed(std::move(a));
  if (b.has_source()) b = internal::Framed(std::move(b));
  internal::BothAwaiter<A, B> both(a, b);
  co_await both;
  internal::Lifted<A> first = internal::TakeLifted(a);
  internal::Lifted<B> second = internal::TakeLifted(b);
  co_return std::pair<internal::Lifted<A>, internal::Lifted<B>>(std::move(first), std::move(second));
}

// Starts `task` now, without an owner: its frame frees itself at the end. Whatever
// it refers to must outlive it; a TaskGroup tells when it ended.
void Spawn(Task<void> task);

}  // namespace portico::event

#endif  // DATAPLANE_EVENT_TASK_H_
