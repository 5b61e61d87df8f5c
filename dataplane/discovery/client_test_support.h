// What the tests of the client share.
#ifndef DATAPLANE_DISCOVERY_CLIENT_TEST_SUPPORT_H_
#define DATAPLANE_DISCOVERY_CLIENT_TEST_SUPPORT_H_

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/discovery/client.h"
#include "gtest/gtest.h"

namespace portico::discovery_client {

// A box that one thread fills and another empties.
template <typename T>
class Mailbox {
 public:
  void Put(T value) {
    {
      std::lock_guard lock(mutex_);
      values_.push_back(std::move(value));
    }
    changed_.notify_all();
  }
  // Waits for the next value; fails the test after 20 s.
  T Take() {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, std::chrono::seconds(20), [this] { return !values_.empty(); })) {
      ADD_FAILURE() << "nothing came";
      return T();
    }
    T value = std::move(values_.front());
    values_.erase(values_.begin());
    return value;
  }
  bool empty() const {
    std::lock_guard lock(mutex_);
    return values_.empty();
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<T> values_;
};

struct SinkOffer {
  uint64_t revision = 0;
  api::ResourceSet set;
  std::function<void(ApplyResult)> done;
};

class MailboxSink final : public RevisionSink {
 public:
  void Offer(uint64_t revision, api::ResourceSet set,
             std::function<void(ApplyResult)> done) override {
    offers.Put({revision, std::move(set), std::move(done)});
  }
  // Takes the next offer and says that it is live.
  SinkOffer Accept() {
    SinkOffer offer = offers.Take();
    if (offer.done) offer.done({});
    return offer;
  }

  Mailbox<SinkOffer> offers;
};

// Times that suit a test.
inline ClientOptions TestOptions(const std::string& address) {
  ClientOptions options;
  options.channel.address = address;
  options.channel.insecure = true;
  options.identity = {.node_id = "node-1", .labels = {{"zone", "a"}}, .build = "test"};
  options.min_backoff_nanos = 5 * base::kNanosPerMilli;
  options.max_backoff_nanos = 20 * base::kNanosPerMilli;
  return options;
}

}  // namespace portico::discovery_client

#endif  // DATAPLANE_DISCOVERY_CLIENT_TEST_SUPPORT_H_
