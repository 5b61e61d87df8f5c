// What the connections of one acceptor share.
#ifndef DATAPLANE_DOWNSTREAM_SERVER_CONTEXT_H_
#define DATAPLANE_DOWNSTREAM_SERVER_CONTEXT_H_

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "dataplane/base/arena.h"
#include "dataplane/downstream/connection.h"
#include "dataplane/event/loop.h"
#include "dataplane/http/h1_writer.h"
#include "dataplane/http/handler.h"
#include "dataplane/tls/server_context.h"

namespace portico::downstream {

// Arenas for exchanges, kept for reuse: a connection has one only while it serves.
class ArenaPool {
 public:
  std::unique_ptr<base::Arena> Take() {
    if (free_.empty()) return std::make_unique<base::Arena>();
    std::unique_ptr<base::Arena> arena = std::move(free_.back());
    free_.pop_back();
    return arena;
  }
  void Return(std::unique_ptr<base::Arena> arena) {
    if (free_.size() >= kMaxFree) return;
    arena->Reset();
    free_.push_back(std::move(arena));
  }

 private:
  // Two megabytes: more exchanges than that at one time take the others from the heap, and
  // a peak of many does not stay in the memory.
  static constexpr size_t kMaxFree = 512;
  std::vector<std::unique_ptr<base::Arena>> free_;
};

// Owned by one worker, outlives its connections.
struct ServerContext {
  event::Loop& loop;
  http::ExchangeHandler& handler;
  ConnectionObserver& observer;
  ConnectionOwner& owner;
  // Read anew for every request.
  ConnectionOptions options;
  // Read anew for every handshake. nullptr: cleartext.
  std::shared_ptr<const tls::ServerContext> tls = nullptr;
  uint32_t listener_id = 0;
  std::string_view listener_name;
  http::DateCache date;
  ArenaPool arenas;
};

}  // namespace portico::downstream

#endif  // DATAPLANE_DOWNSTREAM_SERVER_CONTEXT_H_
