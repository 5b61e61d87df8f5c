#include "tests/gate/secure_client.h"

#include <nghttp2/nghttp2.h>
#include <openssl/bio.h>
#include <openssl/ssl.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "dataplane/base/check.h"

namespace portico::gate {
namespace {

[[noreturn]] void Fail(const char* what, std::string_view detail = "") {
  std::fprintf(stderr, "replay: %s %.*s\n", what, static_cast<int>(detail.size()), detail.data());
  std::exit(1);
}

SSL_CTX* Context() {
  static SSL_CTX* const context = [] {
    SSL_CTX* made = SSL_CTX_new(TLS_method());
    PORTICO_CHECK(made != nullptr && SSL_CTX_set_min_proto_version(made, TLS1_3_VERSION) == 1);
    // Whose certificate it is, is no question here.
    SSL_CTX_set_verify(made, SSL_VERIFY_NONE, nullptr);
    return made;
  }();
  return context;
}

// HTTP/1.1 in what was decrypted: all responses have one length.
class Http1 {
 public:
  size_t Take(std::string_view bytes) {
    if (length_ == 0) {
      text_.append(bytes);
      const size_t end = text_.find("\r\n\r\n");
      const size_t at = text_.find("ength: ");
      if (end == std::string::npos || at > end) return 0;
      length_ = end + 4 + std::strtoull(text_.c_str() + at + 7, nullptr, 10);
      if (text_.compare(0, 13, "HTTP/1.1 200 ") != 0) Fail("a response that is none:", text_);
      bytes = text_;
    }
    received_ += bytes.size();
    const size_t complete = received_ / length_;
    received_ %= length_;
    return complete;
  }
  const std::string& text() const { return text_; }

 private:
  size_t length_ = 0, received_ = 0;
  std::string text_;  // Up to the first whole response.
};

class Http2 {
 public:
  Http2() {
    nghttp2_session_callbacks* callbacks = nullptr;
    PORTICO_CHECK(nghttp2_session_callbacks_new(&callbacks) == 0);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, OnHeader);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, OnStreamClose);
    PORTICO_CHECK(nghttp2_session_client_new(&session_, callbacks, this) == 0);
    nghttp2_session_callbacks_del(callbacks);
    PORTICO_CHECK(nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, nullptr, 0) == 0);
  }
  ~Http2() { nghttp2_session_del(session_); }
  Http2(const Http2&) = delete;
  Http2& operator=(const Http2&) = delete;

  size_t Take(std::string_view bytes) {
    complete_ = 0;
    const ssize_t taken = nghttp2_session_mem_recv(
        session_, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
    if (taken != static_cast<ssize_t>(bytes.size())) Fail("frames that are none");
    return complete_;
  }

  // Head lines of HTTP/1.1 as fields.
  void Send(const std::string& request) {
    std::vector<std::pair<std::string, std::string>> fields;
    const size_t method = request.find(' '), path = request.find(' ', method + 1);
    fields.emplace_back(":method", request.substr(0, method));
    fields.emplace_back(":scheme", "https");
    fields.emplace_back(":path", request.substr(method + 1, path - method - 1));
    for (size_t at = request.find("\r\n") + 2; request.compare(at, 2, "\r\n") != 0;) {
      const size_t colon = request.find(": ", at), end = request.find("\r\n", at);
      std::string name = absl::AsciiStrToLower(request.substr(at, colon - at));
      if (name == "host") name = ":authority";
      fields.emplace(name[0] == ':' ? fields.begin() + 3 : fields.end(), name,
                     request.substr(colon + 2, end - colon - 2));
      at = end + 2;
    }
    std::vector<nghttp2_nv> block;
    for (auto& [name, value] : fields) {
      block.push_back({reinterpret_cast<uint8_t*>(name.data()),
                       reinterpret_cast<uint8_t*>(value.data()), name.size(), value.size(),
                       NGHTTP2_NV_FLAG_NONE});
    }
    if (nghttp2_submit_request(session_, nullptr, block.data(), block.size(), nullptr, nullptr) < 0)
      Fail("a request that is none:", request);
  }

  // The next frames to send; empty: none.
  std::string_view Next() {
    const uint8_t* bytes = nullptr;
    const ssize_t size = nghttp2_session_mem_send(session_, &bytes);
    PORTICO_CHECK(size >= 0);
    return {reinterpret_cast<const char*>(bytes), static_cast<size_t>(size)};
  }
  const std::string& text() const { return text_; }

 private:
  static int OnHeader(nghttp2_session*, const nghttp2_frame*, const uint8_t* name,
                      size_t name_size, const uint8_t* value, size_t value_size, uint8_t,
                      void* user) {
    auto& self = *static_cast<Http2*>(user);
    const std::string_view text(reinterpret_cast<const char*>(value), value_size);
    const std::string_view field(reinterpret_cast<const char*>(name), name_size);
    if (field == ":status" && text != "200") Fail("a response with the status", text);
    if (!self.seen_) self.text_.append(field).append(": ").append(text).append("\n");
    return 0;
  }
  static int OnStreamClose(nghttp2_session*, int32_t, uint32_t error, void* user) {
    auto& self = *static_cast<Http2*>(user);
    if (error != NGHTTP2_NO_ERROR) Fail("a stream was reset:", nghttp2_http2_strerror(error));
    self.seen_ = true;
    ++self.complete_;
    return 0;
  }

  nghttp2_session* session_ = nullptr;
  size_t complete_ = 0;
  bool seen_ = false;
  std::string text_;  // Fields of the first response.
};

class OverTls final : public SecureClient {
 public:
  explicit OverTls(bool http2) : ssl_(SSL_new(Context())) {
    PORTICO_CHECK(ssl_ != nullptr);
    in_ = BIO_new(BIO_s_mem());
    out_ = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl_, in_, out_);
    SSL_set_connect_state(ssl_);
    PORTICO_CHECK(SSL_set_tlsext_host_name(ssl_, "api.example.com") == 1);
    const std::string_view protocol = http2 ? "\x02h2" : "\x08http/1.1";
    PORTICO_CHECK(SSL_set_alpn_protos(ssl_, reinterpret_cast<const uint8_t*>(protocol.data()),
                                      static_cast<unsigned>(protocol.size())) == 0);
    if (http2) http2_ = std::make_unique<Http2>();
    Shake();
  }
  ~OverTls() override { SSL_free(ssl_); }

  size_t Take(const event::SendOperation& op) override {
    for (int i = 0; i < op.slice_count; ++i) {
      const int size = static_cast<int>(op.slices[i].iov_len);
      PORTICO_CHECK(BIO_write(in_, op.slices[i].iov_base, size) == size);
    }
    if (!ready_) Shake();
    if (!ready_) return 0;
    size_t complete = 0;
    for (;;) {
      const int got = SSL_read(ssl_, plain_, sizeof(plain_));
      if (got <= 0) break;
      const std::string_view bytes(plain_, static_cast<size_t>(got));
      complete += http2_ != nullptr ? http2_->Take(bytes) : http1_.Take(bytes);
    }
    if (SSL_get_error(ssl_, -1) != SSL_ERROR_WANT_READ) Fail("records that are none");
    return complete;
  }
  bool ready() const override { return ready_; }
  void Send(const std::string& request) override {
    http2_ != nullptr ? http2_->Send(request) : Write(request);
  }
  void Flush(std::string& out) override {
    if (ready_ && http2_ != nullptr) {
      std::string frames;
      for (std::string_view next = http2_->Next(); !next.empty(); next = http2_->Next())
        frames.append(next);
      if (!frames.empty()) Write(frames);
    }
    const size_t size = BIO_pending(out_), before = out.size();
    if (size == 0) return;
    out.resize(before + size);
    PORTICO_CHECK(BIO_read(out_, out.data() + before, static_cast<int>(size)) ==
                  static_cast<int>(size));
  }
  std::string last_response() const override {
    return http2_ != nullptr ? http2_->text() : http1_.text();
  }

 private:
  void Shake() {
    const int result = SSL_do_handshake(ssl_);
    ready_ = result == 1;
    if (!ready_ && SSL_get_error(ssl_, result) != SSL_ERROR_WANT_READ) Fail("no handshake");
  }
  void Write(std::string_view bytes) {
    PORTICO_CHECK(SSL_write(ssl_, bytes.data(), static_cast<int>(bytes.size())) ==
                  static_cast<int>(bytes.size()));
  }

  SSL* const ssl_;
  BIO* in_ = nullptr;   // `ssl_` owns both.
  BIO* out_ = nullptr;
  bool ready_ = false;
  Http1 http1_;
  std::unique_ptr<Http2> http2_;
  char plain_[16 * 1024];
};

}  // namespace

std::unique_ptr<SecureClient> MakeSecureClient(bool http2) {
  return std::make_unique<OverTls>(http2);
}

}  // namespace portico::gate
