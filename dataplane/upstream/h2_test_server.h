// An HTTP/2 upstream in the same thread, answering when the test says so: a session of nghttp2
// over a socket that the test turns by hand.
#ifndef DATAPLANE_UPSTREAM_H2_TEST_SERVER_H_
#define DATAPLANE_UPSTREAM_H2_TEST_SERVER_H_

#include <nghttp2/nghttp2.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace portico::upstream {

using H2TestFields = std::vector<std::pair<std::string, std::string>>;

// What the server saw of one stream.
struct H2TestRequest {
  H2TestFields fields;
  H2TestFields trailers;
  std::string body;
  bool head_complete = false;
  bool ended = false;   // END_STREAM
  bool closed = false;  // By either side.
  uint32_t error_code = 0;
  std::string_view operator[](std::string_view name) const {
    for (const auto& [field, value] : fields) {
      if (field == name) return value;
    }
    return "(none)";
  }
};

struct H2TestServerOptions {
  uint32_t max_streams = 100;
  uint32_t stream_window = 65535;
  bool takes_tunnels = false;
  // Otherwise windows open only by Consume().
  bool opens_windows = true;
  // Sends its SETTINGS at once.
  bool settings = true;
};

class H2TestServer {
 public:
  // `fd`: a connected, non-blocking socket; it becomes this object's.
  explicit H2TestServer(int fd, const H2TestServerOptions& options = {});
  ~H2TestServer();
  H2TestServer(const H2TestServer&) = delete;
  H2TestServer& operator=(const H2TestServer&) = delete;

  // Reads and writes what can be. False once the peer has closed or the session has ended.
  bool Turn();
  bool peer_closed() const { return peer_closed_; }

  std::map<int32_t, H2TestRequest>& requests() { return requests_; }
  nghttp2_session* session() { return session_; }
  // The error code of a GOAWAY that came; -1: none.
  int64_t goaway() const { return goaway_; }
  int pings() const { return pings_; }
  size_t window_updates() const { return window_updates_; }

  // A whole response. With trailers the body is always there.
  void Respond(int32_t stream, H2TestFields fields, std::string body, H2TestFields trailers = {});
  // A head without END_STREAM; more by Write(), the end by End().
  void RespondHead(int32_t stream, const H2TestFields& fields);
  void Write(int32_t stream, std::string_view bytes);
  void End(int32_t stream);
  void Reset(int32_t stream, uint32_t error_code);
  void GoAway(int32_t last_stream, uint32_t error_code = NGHTTP2_NO_ERROR);
  void Settings(uint32_t max_streams);
  // Bytes that are no frames of nghttp2's.
  void WriteRaw(std::string_view bytes);
  // A frame with this payload.
  void WriteFrame(uint8_t type, uint8_t flags, int32_t stream, std::string_view payload);
  void Close();

 private:
  struct Response {
    std::string body;
    size_t sent = 0;
    bool ends = false;
    H2TestFields trailers;
  };
  friend struct H2TestServerCallbacks;

  int fd_;
  nghttp2_session* session_ = nullptr;
  std::map<int32_t, H2TestRequest> requests_;
  std::map<int32_t, Response> responses_;
  std::string unsent_;
  int64_t goaway_ = -1;
  int pings_ = 0;
  size_t window_updates_ = 0;
  bool peer_closed_ = false;
};

}  // namespace portico::upstream

#endif  // DATAPLANE_UPSTREAM_H2_TEST_SERVER_H_
