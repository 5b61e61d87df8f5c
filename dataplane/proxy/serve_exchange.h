// The story of one request.
#ifndef DATAPLANE_PROXY_SERVE_EXCHANGE_H_
#define DATAPLANE_PROXY_SERVE_EXCHANGE_H_

#include <string_view>

#include "dataplane/event/task.h"
#include "dataplane/http/handler.h"
#include "dataplane/http/stream.h"
#include "dataplane/proxy/worker_context.h"

namespace portico::proxy {

// Time to send a local reply once everything else was given up.
inline constexpr int64_t kLocalReplyNanos = 5 * base::kNanosPerSecond;

// Serves exchanges with a worker's active revision. `worker` outlives it.
class Proxy final : public http::ExchangeHandler {
 public:
  explicit Proxy(WorkerContext& worker) : worker_(worker) {}

  event::Task<void> Serve(http::ServerStream& stream,
                          const http::ConnectionInfo& connection) override;
  event::Task<void> ServeError(http::ServerStream& stream, const http::ConnectionInfo& connection,
                               int status, std::string_view reason) override;

 private:
  WorkerContext& worker_;
};

}  // namespace portico::proxy

#endif  // DATAPLANE_PROXY_SERVE_EXCHANGE_H_
