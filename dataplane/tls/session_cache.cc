#include "dataplane/tls/session_cache.h"

#include <utility>

namespace portico::tls {

bssl::UniquePtr<SSL_SESSION> SessionCache::Take(const std::string& peer) {
  const std::lock_guard lock(mutex_);
  const auto found = sessions_.find(peer);
  if (found == sessions_.end()) return nullptr;
  std::vector<bssl::UniquePtr<SSL_SESSION>>& sessions = found->second;
  if (!SSL_SESSION_should_be_single_use(sessions.back().get())) return bssl::UpRef(sessions.back());
  bssl::UniquePtr<SSL_SESSION> session = std::move(sessions.back());
  sessions.pop_back();
  if (sessions.empty()) sessions_.erase(found);
  return session;
}

void SessionCache::Add(const std::string& peer, bssl::UniquePtr<SSL_SESSION> session) {
  const std::lock_guard lock(mutex_);
  if (sessions_.size() >= kMaxPeers && !sessions_.contains(peer))
    sessions_.erase(sessions_.begin());
  std::vector<bssl::UniquePtr<SSL_SESSION>>& sessions = sessions_[peer];
  if (sessions.size() >= kSessionsOfAPeer) sessions.erase(sessions.begin());
  sessions.push_back(std::move(session));
}

size_t SessionCache::peers() const {
  const std::lock_guard lock(mutex_);
  return sessions_.size();
}

}  // namespace portico::tls
