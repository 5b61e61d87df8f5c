// Listening sockets of the io_uring engine.
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "dataplane/base/check.h"
#include "dataplane/event/engine_common.h"
#include "dataplane/event/uring_engine.h"
#include "dataplane/event/uring_tags.h"

namespace portico::event {
namespace {

// Connections that are kept while nobody waits for them.
constexpr size_t kMaxKept = 64;

}  // namespace

void UringEngine::SubmitAccept(AcceptOperation& op) {
  OperationAccess::engine_state(op) = kListening;
  uint8_t& socket = SocketOf(op.fd);
  if ((socket & kListens) == 0) {
    socket |= kListens;
    listeners_.push_back(std::make_unique<Listener>());
    listeners_.back()->fd = op.fd;
  }
  const auto found = std::find_if(listeners_.begin(), listeners_.end(),
                                  [&](const auto& candidate) { return candidate->fd == op.fd; });
  PORTICO_CHECK(found != listeners_.end());
  Listener& listener = **found;
  listener.waiting = &op;
  while (!listener.kept.empty()) {
    const int fd = listener.kept.front();
    listener.kept.erase(listener.kept.begin());
    if (!NamePeer(fd, op)) continue;
    listener.waiting = nullptr;
    Finish(op, fd);
    return;
  }
  if (!listener.armed) Arm(listener);
}

// One submission accepts one connection after the other, until it fails.
void UringEngine::Arm(Listener& listener) {
  io_uring_sqe* submission = ring_->NextSubmission();
  io_uring_prep_multishot_accept(submission, listener.fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  submission->user_data = UringTags::OfListener(listener);
  listener.armed = true;
  listener.cancelled = false;
}

void UringEngine::Disarm(Listener& listener) {
  if (!listener.armed || listener.cancelled) return;
  listener.cancelled = true;
  SubmitCancel(UringTags::OfListener(listener));
}

void UringEngine::CancelAccept(AcceptOperation& op) {
  const auto found = std::find_if(listeners_.begin(), listeners_.end(),
                                  [&](const auto& candidate) { return candidate->waiting == &op; });
  PORTICO_CHECK(found != listeners_.end());
  Listener& listener = **found;
  // The operation ends with the submission: until then it may still get a connection,
  // which would be lost otherwise.
  PORTICO_CHECK(listener.armed);
  Disarm(listener);
}

void UringEngine::CloseListener(int fd) {
  const auto found = std::find_if(listeners_.begin(), listeners_.end(),
                                  [&](const auto& candidate) { return candidate->fd == fd; });
  PORTICO_CHECK(found != listeners_.end());
  Listener& listener = **found;
  for (const int kept : listener.kept) ::close(kept);
  listener.kept.clear();
  listener.fd = -1;
  if (listener.armed) {
    // The kernel's reference would keep the socket listening.
    ::shutdown(fd, SHUT_RDWR);
    Disarm(listener);
  } else {
    Forget(listener);
  }
}

void UringEngine::Forget(const Listener& listener) {
  std::erase_if(listeners_, [&](const auto& candidate) { return candidate.get() == &listener; });
}

bool UringEngine::NamePeer(int fd, AcceptOperation& op) {
  op.peer_length = sizeof(op.peer);
  Count(stats_.system_calls, 1);
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&op.peer), &op.peer_length) == 0) return true;
  // It was reset meanwhile.
  ::close(fd);
  return false;
}

void UringEngine::OnAccept(Listener& listener, const io_uring_cqe& completion) {
  if ((completion.flags & IORING_CQE_F_MORE) == 0) listener.armed = false;
  if (completion.res < 0) {
    OnAcceptEnded(listener, completion.res);
    return;
  }
  const int fd = completion.res;
  if (listener.fd < 0) {
    ::close(fd);
    if (!listener.armed) Forget(listener);
    return;
  }
  AcceptOperation* op = listener.waiting;
  if (op == nullptr) {
    listener.kept.push_back(fd);
    if (listener.kept.size() >= kMaxKept) Disarm(listener);
  } else if (NamePeer(fd, *op)) {
    listener.waiting = nullptr;
    Complete(*op, fd);
  } else if (!listener.armed) {
    OnAcceptEnded(listener, -ECONNABORTED);
  }
}

void UringEngine::OnAcceptEnded(Listener& listener, int32_t result) {
  if (listener.fd < 0) {
    if (!listener.armed) Forget(listener);
    return;
  }
  AcceptOperation* op = listener.waiting;
  // Nobody is told: who asks next will get the same, if it lasts.
  if (op == nullptr) return;
  const bool cancelled = OperationAccess::cancel_wanted(*op);
  if (!cancelled && (result == -ECANCELED || IsErrorOfOneConnection(-result))) {
    // Cancelled for an earlier operation, or not our trouble.
    if (!listener.armed) Arm(listener);
    return;
  }
  listener.waiting = nullptr;
  Complete(*op, cancelled ? -ECANCELED : result);
}

}  // namespace portico::event
