// What a client may send to a listener that speaks TLS: the first byte of the input says how the
// rest is cut into pieces, and whether a part of it was received before the handshake began. The
// handshake ends, and nothing is left.
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>

#include "dataplane/base/check.h"
#include "dataplane/base/fake_clock.h"
#include "dataplane/event/cancel.h"
#include "dataplane/event/loop.h"
#include "dataplane/event/run_task.h"
#include "dataplane/net/await.h"
#include "dataplane/net/byte_stream.h"
#include "dataplane/tls/test_certificates.h"
#include "dataplane/tls/tls_stream.h"

namespace portico {
namespace {

std::shared_ptr<const tls::ServerContext> MakeContext() {
  const tls::TestCertificate authority = tls::MakeTestAuthority("authority");
  tls::ServerConfig config;
  config.certificates = {
      tls::MakeTestServer({"a.example.com", "*.example.com"}, authority).Pair("web")};
  config.client_authentication.mode = tls::ClientAuthentication::Mode::kOptional;
  config.client_authentication.ca_pem = authority.pem;
  config.ticket_secrets = {std::string(32, 's')};
  auto context = tls::ServerContext::Create(config);
  PORTICO_CHECK(context.ok());
  return *std::move(context);
}

void Run(event::Loop& loop, const std::shared_ptr<const tls::ServerContext>& context,
         std::string_view input) {
  const uint8_t cut = static_cast<uint8_t>(input[0]);
  input.remove_prefix(1);
  const std::string_view received = input.substr(0, cut & 15);
  input.remove_prefix(received.size());

  int fds[2];
  PORTICO_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
  event::CancelScope scope;
  auto stream = tls::MakeTlsServerStream(loop, net::MakeTcpStream(loop, fds[0]), context,
                                         loop.downstream_buffers(), received);
  const auto serve = [&]() -> event::Task<void> {
    absl::Status status = co_await stream->Handshake(scope);
    while (status.ok()) {
      net::Receive receive(*stream, scope, loop.downstream_buffers());
      absl::StatusOr<base::Buffer> bytes = co_await receive;
      if (!bytes.ok() || !*bytes) break;
    }
  };
  event::Task<void> task = event::Started(serve());
  const size_t piece = (cut >> 4) == 0 ? input.size() : size_t{1} << (cut >> 4);
  while (!input.empty() && !task.done()) {
    const std::string_view now = input.substr(0, piece);
    if (::send(fds[1], now.data(), now.size(), MSG_NOSIGNAL) <= 0) break;
    input.remove_prefix(now.size());
    loop.RunOnce(0);
  }
  ::close(fds[1]);
  PORTICO_CHECK(event::RunUntil(loop, [&] { return task.done(); }));
  stream.reset();
  PORTICO_CHECK(loop.downstream_buffers().live() == 0);
}

}  // namespace
}  // namespace portico

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  static portico::base::FakeClock clock;
  // owned: by the process.
  static auto* const loop = new portico::event::Loop(*portico::event::CreateEpollEngine(), clock);
  static const auto context = portico::MakeContext();
  portico::Run(*loop, context, std::string_view(reinterpret_cast<const char*>(data), size));
  return 0;
}
