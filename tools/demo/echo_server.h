// The echo service: an HTTP/1.1 server that tells what it received.
#ifndef TOOLS_DEMO_ECHO_SERVER_H_
#define TOOLS_DEMO_ECHO_SERVER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/status/statusor.h"
#include "tools/demo/echo_connection.h"

namespace portico::demo {

// One listening socket, one epoll loop, one thread. Several servers may listen on
// the same address (SO_REUSEPORT). Connections are bounded by the limit of open
// files: above it new ones wait in the kernel's backlog.
class EchoServer {
 public:
  // Listens on `address`, "127.0.0.1:0" or "[::1]:0". Errors: InvalidArgument
  // for an address that cannot be read, Unavailable when it cannot be bound.
  static absl::StatusOr<std::unique_ptr<EchoServer>> Create(const std::string& address,
                                                            std::string name);
  ~EchoServer();
  EchoServer(const EchoServer&) = delete;
  EchoServer& operator=(const EchoServer&) = delete;

  // Address with the port that was chosen.
  const std::string& address() const { return address_; }

  // Serves until Stop(). Requests under way then are answered, for at most
  // kShutdownMs.
  void Run();
  // From any thread, also from a signal handler.
  void Stop();

  static constexpr uint32_t kShutdownMs = 5000;

 private:
  EchoServer(std::string name, std::string address, int listener, int epoll, int stop);

  struct Client {
    std::unique_ptr<EchoConnection> connection;
    int timer = -1;
    uint32_t events = 0;
  };

  void Watch(int fd, uint32_t events, bool is_new);
  void Accept();
  void BeginShutdown();
  void HandleClient(int fd, uint32_t events);
  void Apply(int fd, EchoConnection::Want want);
  void Drop(int fd);
  void CloseEnded();

  const std::string name_;
  const std::string address_;
  int listener_;
  const int epoll_;
  const int stop_;
  int shutdown_timer_ = -1;
  bool shutting_down_ = false;
  bool shutdown_over_ = false;
  std::unordered_map<int, Client> clients_;
  // Timer descriptor to client descriptor.
  std::unordered_map<int, int> timers_;
  // What ended in this batch of events. Closed after it: until then events of the batch
  // must not find their descriptor in other hands.
  std::vector<std::unique_ptr<EchoConnection>> ended_;
  std::vector<int> ended_timers_;
};

}  // namespace portico::demo

#endif  // TOOLS_DEMO_ECHO_SERVER_H_
