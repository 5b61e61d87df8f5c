// An upstream in the same thread, answering when the test says so.
#ifndef DATAPLANE_UPSTREAM_TEST_SERVER_H_
#define DATAPLANE_UPSTREAM_TEST_SERVER_H_

#include <string>
#include <string_view>
#include <vector>

#include "dataplane/event/loop.h"
#include "dataplane/net/address.h"

namespace portico::upstream {

// Listens on a free loopback port. The kernel completes handshakes up to the
// backlog, so connecting to it works before Accept().
class TestServer {
 public:
  explicit TestServer(event::Loop& loop, int backlog = 64);
  // Closes everything.
  ~TestServer();
  TestServer(const TestServer&) = delete;
  TestServer& operator=(const TestServer&) = delete;

  const net::SocketAddress& address() const { return address_; }
  // The next connection; turns the loop until there is one. Aborts when none comes.
  int Accept();
  // True if nobody waits to be accepted.
  bool Quiet();
  // Reads one request head from an accepted connection, turning the loop, and
  // returns it; empty when the peer closed the connection first.
  std::string ReadHead(int fd);
  void Write(int fd, std::string_view bytes);
  // ReadHead() and a small response.
  std::string Answer(int fd);
  // True if the peer closed it; turns the loop a few times.
  bool Closed(int fd);
  void Close(int fd);
  // Makes the backlog full, so that further connects get no answer at all.
  void FillBacklog();

 private:
  event::Loop& loop_;
  net::SocketAddress address_;
  int listen_fd_ = -1;
  std::vector<int> open_;
};

// A loopback address at which nobody listens.
net::SocketAddress RefusingAddress();

}  // namespace portico::upstream

#endif  // DATAPLANE_UPSTREAM_TEST_SERVER_H_
