// One client of the echo service.
#ifndef TOOLS_DEMO_ECHO_CONNECTION_H_
#define TOOLS_DEMO_ECHO_CONNECTION_H_

#include <cstdint>
#include <string>

#include "llhttp.h"
#include "tools/demo/echo_reply.h"

namespace portico::demo {

// Reads requests from a non-blocking socket and writes the answers in order. It
// never holds more than about kOutputMark bytes of answers: it stops reading
// while they are not taken.
class EchoConnection {
 public:
  // What the caller should wait for.
  enum class Want {
    kRead,   // Readable.
    kWrite,  // Writable.
    kTimer,  // The time `delay_ms()`, then call OnTimer.
    kClose,  // Nothing: destroy the connection.
  };

  // Takes over `fd`. `name` must outlive the connection.
  EchoConnection(int fd, const std::string& name);
  ~EchoConnection();
  EchoConnection(const EchoConnection&) = delete;
  EchoConnection& operator=(const EchoConnection&) = delete;

  Want OnReadable();
  Want OnWritable();
  Want OnTimer();
  // No further request is read: closes when the one under way is answered.
  Want OnShutdown();

  int fd() const { return fd_; }
  // Milliseconds to wait after Want::kTimer.
  uint32_t delay_ms() const { return reply_.delay_ms; }

 private:
  static EchoConnection& Self(llhttp_t* parser);
  static llhttp_settings_t MakeSettings();
  static int OnHeadersComplete(llhttp_t* parser);

  // Parses `input_` from `parsed_`, answers what is complete, sends.
  Want Advance();
  // False when the input ended or reading must wait.
  bool ParseOne();
  void Answer();
  // Queues the reply that is due.
  void Queue();
  // Makes the next bytes of a streamed body.
  void Refill();
  // False when the connection is dead.
  bool Send();

  const int fd_;
  const std::string& name_;
  llhttp_t parser_;

  // The request being read.
  EchoRequest request_;
  std::string field_;
  bool request_started_ = false;

  // Bytes received; those before `parsed_` are done.
  std::string input_;
  size_t parsed_ = 0;

  // Bytes to send; those before `sent_` are gone.
  std::string output_;
  size_t sent_ = 0;

  // The reply being sent, or waiting for its time.
  EchoReply reply_;
  bool delayed_ = false;
  bool streaming_ = false;

  bool closing_ = false;
  bool shutdown_ = false;
  bool dead_ = false;
};

}  // namespace portico::demo

#endif  // TOOLS_DEMO_ECHO_CONNECTION_H_
