// Invariants of our own code.
#ifndef DATAPLANE_BASE_CHECK_H_
#define DATAPLANE_BASE_CHECK_H_

namespace portico::base {

// Writes "file:line: check failed: condition" to standard error and aborts.
[[noreturn]] void CheckFailed(const char* file, int line, const char* condition) noexcept;

}  // namespace portico::base

// Aborts, in every build, when `condition` is false. For broken invariants of our
// own only: input from outside gets a Status.
#define PORTICO_CHECK(condition)                                                          \
  (__builtin_expect(static_cast<bool>(condition), 1)                                      \
       ? static_cast<void>(0)                                                             \
       : ::portico::base::CheckFailed(__FILE__, __LINE__, #condition))

#endif  // DATAPLANE_BASE_CHECK_H_
