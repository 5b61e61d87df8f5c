// A client's side of TLS and HTTP/2, for the replay: what the data plane is asked over both is then
// what real clients send. Its own cost is counted out: see callgrind.py.
#ifndef TESTS_GATE_SECURE_CLIENT_H_
#define TESTS_GATE_SECURE_CLIENT_H_

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "dataplane/event/operation.h"

namespace portico::gate {

class SecureClient {
 public:
  virtual ~SecureClient() = default;

  // The bytes of a send of the data plane. Returns how many responses, all with status 200, are
  // complete with them. Anything else ends the program with what it was.
  virtual size_t Take(const event::SendOperation& op) = 0;
  // Whether requests may be sent: the handshake is over.
  virtual bool ready() const = 0;
  // Sends a request: its head and body as HTTP/1.1 has them, without a body over HTTP/2.
  virtual void Send(const std::string& request) = 0;
  // What is for the data plane, in front of `out`; nothing is left.
  virtual void Flush(std::string& out) = 0;
  // The head of the last response, for people.
  virtual std::string last_response() const = 0;
};

// TLS 1.3 and HTTP/1.1 or HTTP/2. What it sends first is there at once.
std::unique_ptr<SecureClient> MakeSecureClient(bool http2);

}  // namespace portico::gate

#endif  // TESTS_GATE_SECURE_CLIENT_H_
