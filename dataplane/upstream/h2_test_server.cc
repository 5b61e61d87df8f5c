#include "dataplane/upstream/h2_test_server.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "dataplane/base/check.h"

namespace portico::upstream {
namespace {

nghttp2_nv Field(const std::pair<std::string, std::string>& field) {
  return {reinterpret_cast<uint8_t*>(const_cast<char*>(field.first.data())),
          reinterpret_cast<uint8_t*>(const_cast<char*>(field.second.data())), field.first.size(),
          field.second.size(), NGHTTP2_NV_FLAG_NONE};
}

std::vector<nghttp2_nv> Fields(const H2TestFields& fields) {
  std::vector<nghttp2_nv> all;
  for (const auto& field : fields) all.push_back(Field(field));
  return all;
}

}  // namespace

struct H2TestServerCallbacks {
  static H2TestServer& Self(void* user) { return *static_cast<H2TestServer*>(user); }

  static int OnHeader(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name,
                      size_t name_length, const uint8_t* value, size_t value_length, uint8_t,
                      void* user) {
    H2TestRequest& request = Self(user).requests_[frame->hd.stream_id];
    H2TestFields& fields = request.head_complete ? request.trailers : request.fields;
    fields.emplace_back(std::string(reinterpret_cast<const char*>(name), name_length),
                        std::string(reinterpret_cast<const char*>(value), value_length));
    return 0;
  }

  static int OnFrame(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    H2TestServer& self = Self(user);
    const bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    switch (frame->hd.type) {
      case NGHTTP2_HEADERS:
        self.requests_[frame->hd.stream_id].head_complete = true;
        [[fallthrough]];
      case NGHTTP2_DATA:
        if (end) self.requests_[frame->hd.stream_id].ended = true;
        break;
      case NGHTTP2_GOAWAY:
        self.goaway_ = frame->goaway.error_code;
        break;
      case NGHTTP2_PING:
        if ((frame->hd.flags & NGHTTP2_FLAG_ACK) == 0) ++self.pings_;
        break;
      case NGHTTP2_WINDOW_UPDATE:
        ++self.window_updates_;
        break;
      default:
        break;
    }
    return 0;
  }

  static int OnData(nghttp2_session*, uint8_t, int32_t stream, const uint8_t* data, size_t size,
                    void* user) {
    Self(user).requests_[stream].body.append(reinterpret_cast<const char*>(data), size);
    return 0;
  }

  static int OnClose(nghttp2_session*, int32_t stream, uint32_t error_code, void* user) {
    Self(user).requests_[stream].closed = true;
    Self(user).requests_[stream].error_code = error_code;
    return 0;
  }

  static ssize_t Read(nghttp2_session* session, int32_t stream, uint8_t* out, size_t max,
                      uint32_t* flags, nghttp2_data_source*, void* user) {
    H2TestServer::Response& response = Self(user).responses_[stream];
    const size_t size = std::min(max, response.body.size() - response.sent);
    std::memcpy(out, response.body.data() + response.sent, size);
    response.sent += size;
    if (response.sent == response.body.size()) {
      if (!response.ends && size == 0) return NGHTTP2_ERR_DEFERRED;
      if (!response.ends) return static_cast<ssize_t>(size);
      *flags |= NGHTTP2_DATA_FLAG_EOF;
      if (!response.trailers.empty()) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        const std::vector<nghttp2_nv> trailers = Fields(response.trailers);
        nghttp2_submit_trailer(session, stream, trailers.data(), trailers.size());
      }
    }
    return static_cast<ssize_t>(size);
  }
};

H2TestServer::H2TestServer(int fd, const H2TestServerOptions& options) : fd_(fd) {
  nghttp2_session_callbacks* callbacks = nullptr;
  PORTICO_CHECK(nghttp2_session_callbacks_new(&callbacks) == 0);
  using C = H2TestServerCallbacks;
  nghttp2_session_callbacks_set_on_header_callback(callbacks, &C::OnHeader);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, &C::OnFrame);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, &C::OnData);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, &C::OnClose);
  nghttp2_option* option = nullptr;
  PORTICO_CHECK(nghttp2_option_new(&option) == 0);
  nghttp2_option_set_no_auto_window_update(option, options.opens_windows ? 0 : 1);
  // It may say what no honest server says.
  nghttp2_option_set_no_http_messaging(option, 1);
  PORTICO_CHECK(nghttp2_session_server_new2(&session_, callbacks, this, option) == 0);
  nghttp2_option_del(option);
  nghttp2_session_callbacks_del(callbacks);
  if (!options.settings) return;
  const nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, options.max_streams},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, options.stream_window},
      {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, options.takes_tunnels ? 1u : 0u},
  };
  PORTICO_CHECK(nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, 3) == 0);
}

H2TestServer::~H2TestServer() {
  Close();
  nghttp2_session_del(session_);
}

void H2TestServer::Close() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

bool H2TestServer::Turn() {
  if (fd_ < 0) return false;
  char bytes[16384];
  while (!peer_closed_) {
    const ssize_t size = ::recv(fd_, bytes, sizeof(bytes), MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
    if (size <= 0) {
      peer_closed_ = true;
      break;
    }
    nghttp2_session_mem_recv(session_, reinterpret_cast<uint8_t*>(bytes),
                             static_cast<size_t>(size));
  }
  const uint8_t* frame = nullptr;
  ssize_t size = 0;
  while ((size = nghttp2_session_mem_send(session_, &frame)) > 0) {
    unsent_.append(reinterpret_cast<const char*>(frame), static_cast<size_t>(size));
  }
  while (!unsent_.empty()) {
    const ssize_t sent = ::send(fd_, unsent_.data(), unsent_.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent <= 0) break;
    unsent_.erase(0, static_cast<size_t>(sent));
  }
  return !peer_closed_;
}

void H2TestServer::Respond(int32_t stream, H2TestFields fields, std::string body,
                           H2TestFields trailers) {
  const std::vector<nghttp2_nv> head = Fields(fields);
  nghttp2_data_provider provider = {.source = {.ptr = nullptr},
                                    .read_callback = &H2TestServerCallbacks::Read};
  const bool no_body = body.empty() && trailers.empty();
  responses_[stream] = {std::move(body), 0, true, std::move(trailers)};
  PORTICO_CHECK(nghttp2_submit_response(session_, stream, head.data(), head.size(),
                                        no_body ? nullptr : &provider) == 0);
}

void H2TestServer::RespondHead(int32_t stream, const H2TestFields& fields) {
  const std::vector<nghttp2_nv> head = Fields(fields);
  nghttp2_data_provider provider = {.source = {.ptr = nullptr},
                                    .read_callback = &H2TestServerCallbacks::Read};
  responses_[stream] = {};
  PORTICO_CHECK(nghttp2_submit_response(session_, stream, head.data(), head.size(), &provider) ==
                0);
}

void H2TestServer::Write(int32_t stream, std::string_view bytes) {
  responses_[stream].body += bytes;
  nghttp2_session_resume_data(session_, stream);
}

void H2TestServer::End(int32_t stream) {
  responses_[stream].ends = true;
  nghttp2_session_resume_data(session_, stream);
}

void H2TestServer::Reset(int32_t stream, uint32_t error_code) {
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream, error_code);
}

void H2TestServer::GoAway(int32_t last_stream, uint32_t error_code) {
  nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE, last_stream, error_code, nullptr, 0);
}

void H2TestServer::Settings(uint32_t max_streams) {
  const nghttp2_settings_entry setting = {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, max_streams};
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, &setting, 1);
}

void H2TestServer::WriteRaw(std::string_view bytes) { unsent_ += bytes; }

void H2TestServer::WriteFrame(uint8_t type, uint8_t flags, int32_t stream,
                              std::string_view payload) {
  const size_t size = payload.size();
  const char head[9] = {static_cast<char>(size >> 16),   static_cast<char>(size >> 8),
                        static_cast<char>(size),         static_cast<char>(type),
                        static_cast<char>(flags),        static_cast<char>(stream >> 24),
                        static_cast<char>(stream >> 16), static_cast<char>(stream >> 8),
                        static_cast<char>(stream)};
  unsent_.append(head, sizeof(head)).append(payload);
}

}  // namespace portico::upstream
