#include "tools/demo/echo_connection.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace portico::demo {
namespace {

constexpr size_t kReadSize = 64 * 1024;
constexpr size_t kOutputMark = 256 * 1024;
constexpr size_t kMaxHeaderBytes = 256 * 1024;
constexpr size_t kChunkSize = 16 * 1024;

}  // namespace

EchoConnection& EchoConnection::Self(llhttp_t* parser) {
  return *static_cast<EchoConnection*>(parser->data);
}

llhttp_settings_t EchoConnection::MakeSettings() {
  llhttp_settings_t settings;
  llhttp_settings_init(&settings);
  settings.on_message_begin = [](llhttp_t* parser) {
    Self(parser).request_ = EchoRequest();
    Self(parser).request_started_ = true;
    return 0;
  };
  settings.on_url = [](llhttp_t* parser, const char* at, size_t length) {
    EchoConnection& self = Self(parser);
    self.request_.target.append(at, length);
    return self.request_.target.size() > kMaxHeaderBytes ? -1 : 0;
  };
  settings.on_header_field = [](llhttp_t* parser, const char* at, size_t length) {
    EchoConnection& self = Self(parser);
    self.field_.append(at, length);
    return self.field_.size() > kMaxHeaderBytes ? -1 : 0;
  };
  settings.on_header_field_complete = [](llhttp_t* parser) {
    EchoConnection& self = Self(parser);
    absl::AsciiStrToLower(&self.field_);
    self.request_.headers.emplace_back(std::move(self.field_), "");
    self.field_.clear();
    return self.request_.headers.size() > 1000 ? -1 : 0;
  };
  settings.on_header_value = [](llhttp_t* parser, const char* at, size_t length) {
    std::string& value = Self(parser).request_.headers.back().second;
    value.append(at, length);
    return value.size() > kMaxHeaderBytes ? -1 : 0;
  };
  settings.on_headers_complete = OnHeadersComplete;
  settings.on_body = [](llhttp_t* parser, const char* at, size_t length) {
    EchoRequest& request = Self(parser).request_;
    if (request.body.size() < kBodyEcho) {
      request.body.append(at, std::min<size_t>(length, kBodyEcho - request.body.size()));
    }
    request.body_bytes += length;
    return 0;
  };
  // One request at a time: an answer may have to wait before the next is read.
  settings.on_message_complete = [](llhttp_t*) { return static_cast<int>(HPE_PAUSED); };
  return settings;
}

int EchoConnection::OnHeadersComplete(llhttp_t* parser) {
  EchoConnection& self = Self(parser);
  self.request_.method = llhttp_method_name(static_cast<llhttp_method_t>(parser->method));
  self.request_.keep_alive = llhttp_should_keep_alive(parser) != 0;
  for (const auto& [name, value] : self.request_.headers) {
    if (name == "expect" && absl::EqualsIgnoreCase(value, "100-continue")) {
      self.output_ += "HTTP/1.1 100 Continue\r\n\r\n";
    }
  }
  return 0;
}

EchoConnection::EchoConnection(int fd, const std::string& name) : fd_(fd), name_(name) {
  static const llhttp_settings_t settings = MakeSettings();
  llhttp_init(&parser_, HTTP_REQUEST, &settings);
  parser_.data = this;
}

EchoConnection::~EchoConnection() { close(fd_); }

EchoConnection::Want EchoConnection::OnReadable() {
  // Consumed input is dropped before more is taken, so that it stays small.
  input_.erase(0, parsed_);
  parsed_ = 0;
  char buffer[kReadSize];
  const ssize_t count = recv(fd_, buffer, sizeof(buffer), 0);
  if (count > 0) {
    input_.append(buffer, static_cast<size_t>(count));
  } else if (count == 0 || (errno != EAGAIN && errno != EINTR)) {
    return Want::kClose;
  }
  return Advance();
}

EchoConnection::Want EchoConnection::OnWritable() { return Advance(); }

EchoConnection::Want EchoConnection::OnTimer() {
  if (delayed_) {
    delayed_ = false;
    Queue();
  }
  return Advance();
}

EchoConnection::Want EchoConnection::OnShutdown() {
  shutdown_ = true;
  return Advance();
}

EchoConnection::Want EchoConnection::Advance() {
  while (!dead_) {
    if (!Send()) return Want::kClose;
    if (sent_ < output_.size()) return Want::kWrite;
    output_.clear();
    sent_ = 0;
    if (streaming_) {
      Refill();
      continue;
    }
    if (delayed_) return Want::kTimer;
    if (closing_) {
      shutdown(fd_, SHUT_WR);
      return Want::kClose;
    }
    // Pipelined requests are answered together.
    while (!streaming_ && !delayed_ && !closing_ && !dead_ && output_.size() < kOutputMark &&
           ParseOne()) {
    }
    if (dead_) break;
    if (!output_.empty() || streaming_ || delayed_ || closing_) continue;
    if (shutdown_ && !request_started_) return Want::kClose;
    return Want::kRead;
  }
  // A linger time of zero makes the close a reset.
  const linger now = {.l_onoff = 1, .l_linger = 0};
  setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
  return Want::kClose;
}

bool EchoConnection::ParseOne() {
  if (parsed_ == input_.size()) return false;
  const char* begin = input_.data() + parsed_;
  const llhttp_errno_t error = llhttp_execute(&parser_, begin, input_.size() - parsed_);
  if (error == HPE_OK) {
    parsed_ = input_.size();
    return false;
  }
  if (error == HPE_PAUSED || error == HPE_PAUSED_UPGRADE) {
    parsed_ = static_cast<size_t>(llhttp_get_error_pos(&parser_) - input_.data());
    if (error == HPE_PAUSED) {
      llhttp_resume(&parser_);
    } else {
      llhttp_resume_after_upgrade(&parser_);
    }
    // After an upgrade request the parser pauses twice, for one message.
    if (request_started_) {
      request_started_ = false;
      Answer();
    }
    return true;
  }
  parsed_ = input_.size();
  reply_ = MakeBadRequestReply(llhttp_get_error_reason(&parser_));
  Queue();
  return false;
}

void EchoConnection::Answer() {
  if (shutdown_) request_.keep_alive = false;
  reply_ = MakeEchoReply(request_, name_);
  if (reply_.delay_ms > 0) {
    delayed_ = true;
  } else {
    Queue();
  }
}

void EchoConnection::Queue() {
  if (reply_.reset) {
    dead_ = true;
    return;
  }
  output_ += reply_.head;
  closing_ = reply_.close;
  streaming_ = reply_.stream_bytes > 0 || reply_.chunked;
  if (!streaming_) {
    output_ += reply_.body;
  } else if (!reply_.body.empty()) {
    absl::StrAppend(&output_, absl::Hex(reply_.body.size()), "\r\n", reply_.body, "\r\n");
  }
}

void EchoConnection::Refill() {
  static const std::string pattern(kChunkSize, 'x');
  while (reply_.stream_bytes > 0 && output_.size() < kOutputMark) {
    const size_t count = std::min<uint64_t>(reply_.stream_bytes, pattern.size());
    if (reply_.chunked) absl::StrAppend(&output_, absl::Hex(count), "\r\n");
    output_.append(pattern, 0, count);
    if (reply_.chunked) output_ += "\r\n";
    reply_.stream_bytes -= count;
  }
  if (reply_.stream_bytes > 0) return;
  if (reply_.chunked) output_ += "0\r\n\r\n";
  streaming_ = false;
}

bool EchoConnection::Send() {
  while (sent_ < output_.size()) {
    const ssize_t count = send(fd_, output_.data() + sent_, output_.size() - sent_, MSG_NOSIGNAL);
    if (count >= 0) {
      sent_ += static_cast<size_t>(count);
    } else if (errno == EAGAIN) {
      return true;
    } else if (errno != EINTR) {
      return false;
    }
  }
  return true;
}

}  // namespace portico::demo
