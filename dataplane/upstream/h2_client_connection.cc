#include "dataplane/upstream/h2_client_connection.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "dataplane/base/check.h"
#include "dataplane/http/h2_memory.h"
#include "dataplane/net/await.h"
#include "dataplane/upstream/h2_client_connection_impl.h"

namespace portico::upstream {
namespace {

// How long a peer may take to take our last words.
constexpr int64_t kFarewellNanos = base::kNanosPerSecond;

// Stream identifiers end at 2^31, odd ones are ours.
constexpr uint64_t kMaxStreamsOfAConnection = uint64_t{1} << 29;

// Resets that may come beyond one for each stream.
constexpr uint64_t kMoreResets = 100;

// For each stream: 16 informational responses, a final one, trailers.
constexpr uint64_t kMaxHeaderBlocks = 18;

// Of a head that listeners let in at most, and of what policies add.
constexpr size_t kMaxSentHead = 2 << 20;

nghttp2_session* NewSession(H2ClientConnection& connection) {
  nghttp2_session_callbacks* callbacks = nullptr;
  PORTICO_CHECK(nghttp2_session_callbacks_new(&callbacks) == 0);
  SetH2ClientCallbacks(callbacks);
  nghttp2_option* option = nullptr;
  PORTICO_CHECK(nghttp2_option_new(&option) == 0);
  // Windows open as readers take what came.
  nghttp2_option_set_no_auto_window_update(option, 1);
  nghttp2_option_set_max_send_header_block_length(option, kMaxSentHead);
  nghttp2_session* session = nullptr;
  PORTICO_CHECK(
      nghttp2_session_client_new3(&session, callbacks, &connection, option, http::H2Memory()) == 0);
  nghttp2_option_del(option);
  nghttp2_session_callbacks_del(callbacks);
  return session;
}

}  // namespace

H2ClientConnection::H2ClientConnection(event::Loop& loop, std::unique_ptr<net::ByteStream> stream,
                                       const H2ClientOptions& options, ClientConnectionOwner& owner)
    : loop_(loop),
      options_(options),
      owner_(owner),
      stream_(std::move(stream)),
      session_(NewSession(*this)),
      windows_(options.stream_window, options.connection_window, options.memory_scarce),
      settings_changed_(loop),
      received_at_(loop.now()) {
  const nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, options_.stream_window},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, options_.head.max_header_bytes},
  };
  PORTICO_CHECK(
      nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, std::size(settings)) == 0);
  PORTICO_CHECK(
      nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0,
                                            static_cast<int32_t>(options_.connection_window)) == 0);
  receive_.context = this;
  receive_.on_complete = &OnReceive;
  receive_.pool = &loop.upstream_buffers();
  send_.context = this;
  send_.on_complete = &OnSent;
  flush_.context = this;
  flush_.on_complete = &OnFlush;
  end_timer_.context = this;
  end_timer_.on_fire = &OnEndTimer;
  ping_timer_.context = this;
  ping_timer_.on_fire = &OnPingTimer;
  StartReceive();
  ScheduleFlush();
}

H2ClientConnection::~H2ClientConnection() {
  PORTICO_CHECK(ended_ && streams_.empty());
  nghttp2_session_del(session_);
}

uint32_t H2ClientConnection::max_streams() const {
  const uint32_t theirs =
      nghttp2_session_get_remote_settings(session_, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
  return std::min(theirs, options_.max_streams);
}

bool H2ClientConnection::takes_tunnels() const {
  return nghttp2_session_get_remote_settings(session_, NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) ==
         1;
}

http::ClientStream* H2ClientConnection::OpenStream(event::CancelScope& scope, base::Arena& arena) {
  if (draining_ || open_streams() >= max_streams()) return nullptr;
  auto stream = std::make_unique<H2ClientStream>(*this, scope, arena);
  H2ClientStream* const opened = stream.get();
  opened->index = streams_.size();
  streams_.push_back(std::move(stream));
  flood_.StreamOpened();
  if (++streams_opened_ >= kMaxStreamsOfAConnection) draining_ = true;
  if (!ping_timer_.armed() && options_.ping_after > 0) {
    loop_.timers().Arm(ping_timer_, loop_.now() + options_.ping_after);
  }
  return opened;
}

void H2ClientConnection::EndStream(http::ClientStream* ended) {
  auto* const stream = static_cast<H2ClientStream*>(ended);
  const size_t index = stream->index;
  PORTICO_CHECK(index < streams_.size() && streams_[index].get() == stream && !stream->waiting());
  if (stream->id() != 0) {
    nghttp2_session_set_stream_user_data(session_, stream->id(), nullptr);
    nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream->id(), NGHTTP2_CANCEL);
    ScheduleFlush();
  }
  http::ChangeH2Windows(session_, 0, stream->window().End(windows_));
  std::swap(streams_[index], streams_.back());
  streams_[index]->index = index;
  streams_.pop_back();
  if (draining_ && streams_.empty()) Finish();
}

void H2ClientConnection::TuneWindow(http::H2Window& window, int32_t id, size_t bytes) {
  http::ChangeH2Windows(session_, id, window.Read(bytes, loop_.now(), open_streams(), windows_));
}

void H2ClientConnection::Drain() {
  draining_ = true;
  if (std::exchange(told_unusable_, true)) return;
  owner_.OnConnectionUnusable(*this);
}

void H2ClientConnection::Close() {
  draining_ = told_unusable_ = true;
  if (streams_.empty()) Finish();
}

void H2ClientConnection::StartReceive() {
  receive_.size_hint = loop_.upstream_buffers().Grant(receive_size_);
  stream_->StartReceive(receive_);
}

void H2ClientConnection::OnReceive(event::Operation& op) {
  H2ClientConnection& self = *static_cast<H2ClientConnection*>(op.context);
  const int32_t result = op.result();
  if (self.shut_) {
    self.receive_.buffer.Reset();
    return self.EndIfQuiet();
  }
  if (result > 0) {
    self.Feed(std::move(self.receive_.buffer));
    // A TLS stream may put what is there already into the buffer at once.
    if (self.failure_.ok()) self.StartReceive();
  } else {
    self.receive_.buffer.Reset();
    self.transport_ended_ = true;
    self.Fail(result < 0 ? net::ErrnoStatus(-result, "receive")
                         : absl::UnavailableError("the upstream closed the connection"),
              NGHTTP2_NO_ERROR, /*lost=*/true);
  }
  self.Settle();
}

void H2ClientConnection::Feed(base::Buffer buffer) {
  received_at_ = loop_.now();
  if (buffer.size() == buffer.capacity()) {
    receive_size_ = std::min(receive_size_ * 2, base::BufferPool::kLarge);
  } else if (buffer.size() < receive_size_ / 4) {
    receive_size_ = std::max(receive_size_ / 2, base::BufferPool::kSmall);
  }
  if (!CountFrames(buffer.view())) {
    const absl::string_view reason(violation_.data(), violation_.size());
    return Fail(absl::InvalidArgumentError(reason), NGHTTP2_ENHANCE_YOUR_CALM);
  }
  input_ = &buffer;
  const ssize_t read = nghttp2_session_mem_recv(
      session_, reinterpret_cast<const uint8_t*>(buffer.data()), buffer.size());
  input_ = nullptr;
  if (read >= 0) {
    if (nghttp2_session_want_write(session_) != 0) ScheduleFlush();
    return;
  }
  if (!violation_.empty()) {
    const absl::string_view reason(violation_.data(), violation_.size());
    Fail(absl::InvalidArgumentError(reason), NGHTTP2_ENHANCE_YOUR_CALM);
  } else {
    Fail(absl::InvalidArgumentError(nghttp2_strerror(static_cast<int>(read))),
         NGHTTP2_PROTOCOL_ERROR);
  }
}

bool H2ClientConnection::CountFrames(std::string_view bytes) {
  using Kind = http::H2FloodGuard::Kind;
  return frames_.Walk(bytes, [this](const http::H2FrameHead& head) {
    if (head.type == NGHTTP2_RST_STREAM) {
      // One for every stream is an overloaded peer's right.
      if (++resets_received_ <= streams_opened_ + kMoreResets) return true;
      violation_ = "reset_flood";
      return false;
    }
    if (head.type == NGHTTP2_HEADERS &&
        frames_.header_blocks() > kMaxHeaderBlocks * streams_opened_ + kMoreResets) {
      violation_ = "headers_flood";
      return false;
    }
    std::optional<Kind> kind = http::FloodKindOf(head);
    if (head.type == NGHTTP2_GOAWAY) kind = Kind::kSettings;
    if (!kind.has_value()) {
      if (head.type == NGHTTP2_DATA) flood_.DataMoved();
      return true;
    }
    if (flood_.Take(*kind, loop_.now())) return true;
    violation_ = http::H2FloodGuard::Reason(*kind);
    return false;
  });
}

void H2ClientConnection::Fail(absl::Status status, uint32_t error_code, bool lost) {
  if (!failure_.ok()) return;
  failure_ = std::move(status);
  draining_ = true;
  if (error_code != NGHTTP2_NO_ERROR) {
    nghttp2_session_terminate_session(session_, error_code);
    ScheduleFlush();
  }
  for (const auto& stream : streams_) stream->Fail(failure_, lost);
  settings_changed_.NotifyAll();
}

void H2ClientConnection::Settle() {
  if (shut_) return EndIfQuiet();
  if (goaway_sent_ != NGHTTP2_NO_ERROR && failure_.ok()) {
    // nghttp2 has found something that no connection survives.
    Fail(absl::InvalidArgumentError(absl::StrCat("what the upstream sent breaks RFC 9113 (",
                                                 H2ErrorName(goaway_sent_), ")")),
         NGHTTP2_NO_ERROR);
  }
  if (draining_) {
    Drain();
    if (streams_.empty()) Finish();
  } else if (std::exchange(room_changed_, false)) {
    owner_.OnConnectionRoom(*this);
  }
  if (finishing_ && !send_.pending()) Shut();
}

void H2ClientConnection::Finish() {
  if (std::exchange(finishing_, true)) return;
  loop_.timers().Disarm(ping_timer_);
  if (!transport_ended_) {
    if (failure_.ok()) nghttp2_session_terminate_session(session_, NGHTTP2_NO_ERROR);
    Flush();
    if (send_.pending()) {
      loop_.timers().Arm(end_timer_, loop_.now() + kFarewellNanos);
      return;
    }
  }
  Shut();
}

void H2ClientConnection::Shut() {
  if (std::exchange(shut_, true)) return;
  transport_ended_ = true;
  if (receive_.pending()) stream_->Cancel(receive_);
  if (send_.pending()) stream_->Cancel(send_);
  loop_.timers().Arm(end_timer_, loop_.now());
}

void H2ClientConnection::OnEndTimer(event::Timer& timer) {
  H2ClientConnection& self = *static_cast<H2ClientConnection*>(timer.context);
  if (self.shut_) {
    self.EndIfQuiet();
  } else {
    self.Shut();
  }
}

void H2ClientConnection::EndIfQuiet() {
  if (ended_ || receive_.pending() || send_.pending() || flush_.pending() || end_timer_.armed()) {
    return;
  }
  ended_ = true;
  output_.Clear();
  owner_.OnConnectionEnded(*this);  // May destroy this object.
}

void H2ClientConnection::OnPingTimer(event::Timer& timer) {
  static_cast<H2ClientConnection*>(timer.context)->CheckPing();
}

void H2ClientConnection::CheckPing() {
  if (streams_.empty() || !failure_.ok()) return;
  const base::MonotonicNanos now = loop_.now();
  if (ping_sent_ != 0 && received_at_ < ping_sent_) {
    if (now - ping_sent_ >= options_.ping_timeout) {
      transport_ended_ = true;
      Fail(absl::UnavailableError("the upstream does not answer a PING"), NGHTTP2_NO_ERROR,
           /*lost=*/true);
      if (send_.pending()) stream_->Cancel(send_);
      return Settle();
    }
    loop_.timers().Arm(ping_timer_, ping_sent_ + options_.ping_timeout);
    return;
  }
  ping_sent_ = 0;
  const base::MonotonicNanos due = std::max(received_at_ + options_.ping_after, next_ping_);
  if (now < due) {
    loop_.timers().Arm(ping_timer_, due);
    return;
  }
  nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, nullptr);
  ScheduleFlush();
  ping_sent_ = now;
  next_ping_ = now + options_.ping_interval;
  loop_.timers().Arm(ping_timer_, now + options_.ping_timeout);
}

std::unique_ptr<ClientConnection> MakeH2ClientConnection(event::Loop& loop,
                                                         std::unique_ptr<net::ByteStream> stream,
                                                         const H2ClientOptions& options,
                                                         ClientConnectionOwner& owner) {
  return std::make_unique<H2ClientConnection>(loop, std::move(stream), options, owner);
}

}  // namespace portico::upstream
