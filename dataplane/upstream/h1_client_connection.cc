#include "dataplane/upstream/h1_client_connection.h"

#include "dataplane/upstream/h1_client_connection_impl.h"

namespace portico::upstream {

void H1ClientConnection::StartReceive(size_t size_hint) {
  receive_.size_hint = size_hint;
  stream_->StartReceive(receive_);
}

void H1ClientConnection::OnReceive(event::Operation& op) {
  H1ClientConnection& self = *static_cast<H1ClientConnection*>(op.context);
  const int32_t result = op.result();
  if (result > 0) {
    if (self.exchange_.has_value()) self.exchange_->received += static_cast<uint64_t>(result);
    const base::Buffer& buffer = self.receive_.buffer;
    self.received_all_it_could_ =
        self.receive_.pipe != nullptr || buffer.size() == buffer.capacity();
    if (self.receive_.pipe == nullptr) self.input_.Fill(std::move(self.receive_.buffer));
  } else {
    self.receive_ended_ = true;
    if (result < 0) self.receive_status_ = net::ErrnoStatus(-result, "receive");
  }
  self.receive_.buffer.Reset();
  self.receive_.pipe = nullptr;
  if (self.waiter_) {
    if (self.reading_head_.waiting() && !self.AdvanceHead(/*woken=*/true)) return;
    std::exchange(self.waiter_, {}).resume();
    return;
  }
  if (self.exchange_.has_value()) return;  // It will look.
  if (!self.closing_) {
    // The peer left, or says something that nobody asked for (a 408, say).
    self.closing_ = true;
    self.owner_.OnConnectionUnusable(self);
  }
  self.End();
}

void H1ClientConnection::OnEndTimer(event::Timer& timer) { static_cast<H1ClientConnection*>(timer.context)->End(); }

void H1ClientConnection::End() {
  input_.Clear();
  ended_ = true;
  owner_.OnConnectionEnded(*this);  // May destroy this object.
}

void H1ClientConnection::Close() {
  if (ended_) return;
  const bool again = std::exchange(closing_, true);
  if (exchange_.has_value() || (again && (receive_.pending() || end_timer_.armed()))) return;
  if (receive_.pending()) {
    stream_->Cancel(receive_);
  } else {
    loop_.timers().Arm(end_timer_, loop_.now());
  }
}

void H1ClientConnection::EndStream(http::ClientStream* stream) {
  PORTICO_CHECK(stream == this && exchange_.has_value() && !waiter_);
  const H1ClientExchange& e = *exchange_;
  const bool complete = e.request_complete && e.head != nullptr && e.decoder.done() && !e.response_failed;
  const bool reuse = complete && e.keep_alive && reusable() && Quiet();
  // A tunnel that was ended by a deadline or a drain ends in order.
  const bool in_order = e.tunnel && !absl::IsCancelled(e.scope.reason());
  if (!complete && !in_order) stream_->Abort();
  message_size_.Received(e.received);
  exchange_.reset();
  if (reuse) {
    if (!receive_.pending()) StartReceive(message_size_.hint());
    return;
  }
  closing_ = true;
  if (receive_.pending()) {
    stream_->Cancel(receive_);
  } else {
    loop_.timers().Arm(end_timer_, loop_.now());
  }
}

std::unique_ptr<ClientConnection> MakeH1ClientConnection(event::Loop& loop, std::unique_ptr<net::ByteStream> stream,
                                                         const H1ClientOptions& options, ClientConnectionOwner& owner) {
  return std::make_unique<H1ClientConnection>(loop, std::move(stream), options, owner);
}

}  // namespace portico::upstream
