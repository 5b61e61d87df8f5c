// What the tests of HTTP/2 connections share: a socket pair, the connection at one end and a
// client at the other, which speaks by nghttp2 or byte by byte.
#ifndef DATAPLANE_DOWNSTREAM_H2_TEST_SUPPORT_H_
#define DATAPLANE_DOWNSTREAM_H2_TEST_SUPPORT_H_

#include <nghttp2/nghttp2.h>
#include <sys/socket.h>

#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dataplane/downstream/connection_test_support.h"
#include "dataplane/downstream/h2_server_connection.h"

namespace portico::downstream {

using H2FieldPairs = std::vector<std::pair<std::string, std::string>>;

inline H2FieldPairs H2Get(const std::string& path, const H2FieldPairs& more = {}) {
  H2FieldPairs fields = {
      {":method", "GET"}, {":scheme", "http"}, {":authority", "h"}, {":path", path}};
  fields.insert(fields.end(), more.begin(), more.end());
  return fields;
}

inline H2FieldPairs H2Post(const std::string& path, const H2FieldPairs& more = {}) {
  H2FieldPairs fields = H2Get(path, more);
  fields[0].second = "POST";
  return fields;
}

// A frame, byte by byte.
inline std::string H2Frame(int type, int flags, uint32_t stream, std::string_view payload) {
  std::string out;
  const auto put = [&out](uint32_t value, int bytes) {
    for (int i = bytes - 1; i >= 0; --i) out += static_cast<char>(value >> (8 * i));
  };
  put(static_cast<uint32_t>(payload.size()), 3);
  put(static_cast<uint32_t>(type), 1);
  put(static_cast<uint32_t>(flags), 1);
  put(stream, 4);
  return out.append(payload);
}

inline std::string BigEndian32(uint32_t value) {
  return {static_cast<char>(value >> 24), static_cast<char>(value >> 16),
          static_cast<char>(value >> 8), static_cast<char>(value)};
}

// "GET /" of host "h" as HPACK of static entries and one literal.
inline std::string H2GetBlock(char path_length = 1, std::string_view path = "/") {
  return std::string("\x82\x86\x41\x01h\x04", 6) + path_length + std::string(path);
}

class H2Client {
 public:
  struct StreamState {
    int status = 0;
    int informational = 0;
    std::map<std::string, std::string> fields, trailers;
    std::string body;
    bool headed = false;  // The final head is complete.
    bool ended = false;   // END_STREAM was seen.
    bool closed = false;
    uint32_t error = 0;
    // What it sends.
    std::string out;
    bool out_ends = false;
    H2FieldPairs out_trailers;
  };

  // Takes the socket. `windows`: as nghttp2 has them; false: they stay shut until Consume().
  H2Client(event::Loop& loop, int fd, bool auto_window = true, uint32_t window = 65535)
      : loop_(loop), fd_(fd) {
    nghttp2_session_callbacks* callbacks = nullptr;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_header_callback(
        callbacks, [](nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name, size_t n,
                      const uint8_t* value, size_t v, uint8_t, void* user) {
          StreamState& s = static_cast<H2Client*>(user)->streams[frame->hd.stream_id];
          const std::string key(reinterpret_cast<const char*>(name), n);
          const std::string text(reinterpret_cast<const char*>(value), v);
          if (key == ":status") {
            const int status = std::stoi(text);
            (status < 200 ? s.informational : s.status) = status;
          } else if (frame->headers.cat == NGHTTP2_HCAT_HEADERS && s.status != 0 && s.headed) {
            s.trailers[key] = text;
          } else {
            s.fields[key] = text;
          }
          return 0;
        });
    nghttp2_session_callbacks_set_on_frame_recv_callback(
        callbacks, [](nghttp2_session*, const nghttp2_frame* frame, void* user) {
          auto& self = *static_cast<H2Client*>(user);
          if (frame->hd.type == NGHTTP2_HEADERS) {
            StreamState& s = self.streams[frame->hd.stream_id];
            s.headed = s.status != 0;
          }
          if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
              (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
            self.streams[frame->hd.stream_id].ended = true;
          }
          return 0;
        });
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(
        callbacks,
        [](nghttp2_session*, uint8_t, int32_t id, const uint8_t* bytes, size_t size, void* user) {
          static_cast<H2Client*>(user)->streams[id].body.append(
              reinterpret_cast<const char*>(bytes), size);
          return 0;
        });
    nghttp2_session_callbacks_set_on_stream_close_callback(
        callbacks, [](nghttp2_session*, int32_t id, uint32_t code, void* user) {
          StreamState& s = static_cast<H2Client*>(user)->streams[id];
          s.closed = true;
          s.error = code;
          return 0;
        });
    nghttp2_option* option = nullptr;
    nghttp2_option_new(&option);
    if (!auto_window) nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_http_messaging(option, 1);
    nghttp2_session_client_new2(&session_, callbacks, this, option);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window}};
    nghttp2_submit_settings(session_, 0, settings, 1);
  }
  ~H2Client() {
    nghttp2_session_del(session_);
    Close();
  }
  H2Client(const H2Client&) = delete;
  H2Client& operator=(const H2Client&) = delete;

  int32_t Request(const H2FieldPairs& fields, bool end = true, const std::string& body = "") {
    std::vector<nghttp2_nv> nv = Block(fields);
    nghttp2_data_provider provider = {};
    provider.read_callback = &Provide;
    const bool has_body = !end || !body.empty();
    const int32_t id = nghttp2_submit_request(session_, nullptr, nv.data(), nv.size(),
                                              has_body ? &provider : nullptr, nullptr);
    streams[id].out = body;
    streams[id].out_ends = end;
    Poll();
    return id;
  }
  void SendBody(int32_t id, const std::string& bytes, bool end, const H2FieldPairs& trailers = {}) {
    streams[id].out += bytes;
    streams[id].out_ends = end;
    streams[id].out_trailers = trailers;
    nghttp2_session_resume_data(session_, id);
    Poll();
  }
  void Reset(int32_t id, uint32_t code = NGHTTP2_CANCEL) {
    nghttp2_submit_rst_stream(session_, 0, id, code);
    Poll();
  }
  void Consume(int32_t id, size_t size) {
    nghttp2_session_consume(session_, id, size);
    Poll();
  }
  // Behind nghttp2's back.
  void SendRaw(std::string_view bytes) {
    Poll();
    pending_.append(bytes);
    Flush();
  }
  void HalfClose() { ::shutdown(fd_, SHUT_WR); }
  void Close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  // Whether anything is read.
  bool reads = true;

  void Poll() {
    if (fd_ < 0) return;
    while (true) {
      const uint8_t* bytes = nullptr;
      const ssize_t size = nghttp2_session_mem_send(session_, &bytes);
      if (size <= 0) break;
      pending_.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(size));
    }
    Flush();
    char bytes[64 * 1024];
    while (reads && !end && !reset) {
      const ssize_t got = ::recv(fd_, bytes, sizeof(bytes), MSG_DONTWAIT);
      if (got > 0) {
        received += static_cast<size_t>(got);
        NoteFrames({bytes, static_cast<size_t>(got)});
        nghttp2_session_mem_recv(session_, reinterpret_cast<uint8_t*>(bytes),
                                 static_cast<size_t>(got));
      } else if (got == 0) {
        end = true;
      } else {
        if (errno == EAGAIN) break;
        reset = true;
      }
    }
  }
  nghttp2_session* session() { return session_; }
  bool all_sent() const { return pending_.empty(); }

  struct Goaway {
    int32_t last;
    uint32_t code;
  };
  std::map<int32_t, StreamState> streams;
  std::map<int, int> frames;  // Received, by type.
  std::vector<Goaway> goaways;
  size_t received = 0;
  size_t received_body = 0;
  bool end = false;
  bool reset = false;

 private:
  // Of its own: nghttp2 tells nothing any more after what it takes for an error.
  void NoteFrames(std::string_view bytes) {
    raw_.append(bytes);
    size_t at = 0;
    const auto number = [this, &at](size_t from, int size) {
      uint32_t value = 0;
      for (int i = 0; i < size; ++i)
        value = value << 8 | static_cast<uint8_t>(raw_[at + from + static_cast<size_t>(i)]);
      return value;
    };
    while (raw_.size() - at >= 9 && raw_.size() - at >= 9 + number(0, 3)) {
      const int type = static_cast<int>(number(3, 1));
      ++frames[type];
      if (type == 7) goaways.push_back({static_cast<int32_t>(number(9, 4)), number(13, 4)});
      at += 9 + number(0, 3);
    }
    raw_.erase(0, at);
  }

  static std::vector<nghttp2_nv> Block(const H2FieldPairs& fields) {
    std::vector<nghttp2_nv> nv;
    for (const auto& [name, value] : fields) {
      nv.push_back({reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
                    reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(),
                    value.size(), 0});
    }
    return nv;
  }
  static ssize_t Provide(nghttp2_session* session, int32_t id, uint8_t* out, size_t length,
                         uint32_t* flags, nghttp2_data_source*, void* user) {
    StreamState& s = static_cast<H2Client*>(user)->streams[id];
    const size_t size = std::min(length, s.out.size());
    std::memcpy(out, s.out.data(), size);
    s.out.erase(0, size);
    if (s.out.empty() && s.out_ends) {
      *flags |= NGHTTP2_DATA_FLAG_EOF;
      if (!s.out_trailers.empty()) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        std::vector<nghttp2_nv> nv = Block(s.out_trailers);
        nghttp2_submit_trailer(session, id, nv.data(), nv.size());
      }
    } else if (size == 0) {
      return NGHTTP2_ERR_DEFERRED;
    }
    return static_cast<ssize_t>(size);
  }
  void Flush() {
    while (!pending_.empty() && fd_ >= 0) {
      const ssize_t sent =
          ::send(fd_, pending_.data(), pending_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent <= 0) {
        if (errno != EAGAIN) pending_.clear();
        return;
      }
      pending_.erase(0, static_cast<size_t>(sent));
    }
  }

  event::Loop& loop_;
  int fd_;
  nghttp2_session* session_ = nullptr;
  std::string pending_;
  std::string raw_;
};

// Checks at its end that nothing is left: frames, buffers, timers, connections.
class H2ConnectionTest : public testing::Test, public ConnectionOwner {
 protected:
  H2ConnectionTest() : H2ConnectionTest(*event::CreateEpollEngine()) {}
  explicit H2ConnectionTest(std::unique_ptr<event::Engine> engine)
      : loop_(std::move(engine), clock_), handler_(loop_) {}

  ~H2ConnectionTest() override {
    if (connection_ != nullptr) {
      connection_->ForceClose(absl::CancelledError("test ends"));
      EXPECT_TRUE(Until([&] { return connection_ == nullptr; }));
    }
    client_.reset();
    context_.arenas = ArenaPool();
    EXPECT_EQ(handler_.open, 0);
    EXPECT_EQ(event::LiveFrames(), 0);
    EXPECT_EQ(loop_.downstream_buffers().live(), 0u);
    EXPECT_EQ(loop_.timers().armed(), 0u);
  }

  void Connect(bool auto_window = true, uint32_t window = 65535) {
    int fds[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    http::ConnectionInfo info;
    info.listener_name = "test";
    connection_ = std::make_unique<H2ServerConnection>(context_, net::MakeTcpStream(loop_, fds[0]),
                                                       info, base::Buffer());
    connection_->Start();
    client_ = std::make_unique<H2Client>(loop_, fds[1], auto_window, window);
    client_->Poll();
  }
  void OnConnectionEnded(ServerConnection&) override { connection_.reset(); }

  bool Until(const std::function<bool()>& done, int turns = 5000) {
    return event::RunUntil(
        loop_,
        [&] {
          if (client_ != nullptr) client_->Poll();
          return done();
        },
        turns, base::kNanosPerMilli / 4);
  }
  bool Closed(int32_t id) {
    return Until([&] { return client_->streams[id].closed; });
  }
  bool Ended() {
    return Until([&] { return client_->end || client_->reset; });
  }
  void Turn(int turns = 20) {
    for (int i = 0; i < turns; ++i) {
      if (client_ != nullptr) client_->Poll();
      loop_.RunOnce(base::kNanosPerMilli / 10);
    }
  }
  // Moves the clock in steps, as a real one does between turns.
  void Pass(int64_t nanos) {
    for (int i = 0; i < 10; ++i) {
      clock_.Advance(nanos / 10);
      Turn(2);
    }
  }
  bool Saw(std::string_view reason) const {
    for (const std::string& error : observer_.errors) {
      if (error == reason) return true;
    }
    return false;
  }

  base::FakeClock clock_;
  event::Loop loop_;
  TestHandler handler_;
  CountingObserver observer_;
  ServerContext context_{.loop = loop_,
                         .handler = handler_,
                         .observer = observer_,
                         .owner = *this,
                         .options = {},
                         .listener_id = 0,
                         .listener_name = "test",
                         .date = {},
                         .arenas = {}};
  std::unique_ptr<H2ServerConnection> connection_;
  std::unique_ptr<H2Client> client_;
};

}  // namespace portico::downstream

#endif  // DATAPLANE_DOWNSTREAM_H2_TEST_SUPPORT_H_
