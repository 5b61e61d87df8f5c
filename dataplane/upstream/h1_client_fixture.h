// An HTTP/1.1 connection to a peer that the test plays by hand.
#ifndef DATAPLANE_UPSTREAM_H1_CLIENT_FIXTURE_H_
#define DATAPLANE_UPSTREAM_H1_CLIENT_FIXTURE_H_

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "dataplane/base/arena.h"
#include "dataplane/base/fake_clock.h"
#include "dataplane/event/frame_pool.h"
#include "dataplane/event/run_task.h"
#include "dataplane/net/await.h"
#include "dataplane/net/socket_pair.h"
#include "dataplane/upstream/h1_client_connection.h"

namespace portico::upstream {

using http::BodyChunk;
using http::BodyKind;

class H1ClientOwner final : public ClientConnectionOwner {
 public:
  void OnConnectionUnusable(ClientConnection& c) override {
    EXPECT_EQ(&c, connection.get());
    ++unusable;
    c.Close();  // A pool may say so; it must not hurt.
  }
  void OnConnectionEnded(ClientConnection& c) override {
    EXPECT_EQ(&c, connection.get());
    ++ended;
    connection.reset();
  }
  std::unique_ptr<ClientConnection> connection;
  int unusable = 0;
  int ended = 0;
};

class ClientTest : public testing::Test {
 protected:
  ClientTest() : loop_(*event::CreateEpollEngine(), clock_) { Open({}); }

  ~ClientTest() override {
    if (owner_.connection != nullptr) {
      if (stream_ != nullptr) owner_.connection->EndStream(stream_);
      owner_.connection->Close();
      owner_.connection->Close();
      EXPECT_TRUE(Until([&] { return owner_.connection == nullptr; }));
    }
    EXPECT_EQ(owner_.ended, opened_);
    peer_.reset();
    EXPECT_EQ(event::LiveFrames(), 0);
    EXPECT_EQ(loop_.upstream_buffers().live(), 0u);
    EXPECT_EQ(loop_.downstream_buffers().live(), 0u);
    EXPECT_EQ(loop_.timers().armed(), 0u);
  }

  void Open(const H1ClientOptions& options) {
    auto [near, far] = net::MakeSocketPair(loop_);
    peer_ = std::move(far);
    owner_.connection = MakeH1ClientConnection(loop_, std::move(near), options, owner_);
    ++opened_;
  }

  bool Until(const std::function<bool()>& done) { return event::RunUntil(loop_, done, 5000); }
  void Turn(int turns = 5) {
    for (int i = 0; i < turns; ++i) loop_.RunOnce(base::kNanosPerMilli / 10);
  }

  event::Task<absl::Status> PeerSendTask(std::string_view text) {
    net::Send send(*peer_, peer_scope_);
    send.Add(text);
    co_return co_await send;
  }
  void PeerSends(std::string_view text) { EXPECT_TRUE(event::RunTask(loop_, PeerSendTask(text)).ok()); }

  event::Task<std::string> PeerReceiveTask(size_t size) {
    std::string all;
    while (all.size() < size) {
      net::Receive receive(*peer_, peer_scope_, loop_.downstream_buffers());
      const absl::StatusOr<base::Buffer> bytes = co_await receive;
      if (!bytes.ok() || !*bytes) break;
      all += bytes->view();
    }
    co_return all;
  }
  std::string PeerReceives(size_t size) { return event::RunTask(loop_, PeerReceiveTask(size)); }

  http::ClientStream& Begin() {
    scope_ = std::make_unique<event::CancelScope>();
    arena_.Reset();
    stream_ = owner_.connection->OpenStream(*scope_, arena_);
    EXPECT_NE(stream_, nullptr);
    return *stream_;
  }
  void End() {
    owner_.connection->EndStream(std::exchange(stream_, nullptr));
    Turn();
  }

  http::RequestHead Request(http::Method method = http::Method::kGet, std::string_view text = "GET") {
    http::RequestHead head(arena_);
    head.method = method;
    head.method_text = text;
    head.path = "/p";
    head.authority = "up";
    return head;
  }
  absl::Status SendHead(const http::RequestHead& head, std::string_view body = "", bool end = true) {
    return event::RunTask(loop_, stream_->SendHead(head, Chunk(body, end)));
  }
  static BodyChunk Chunk(std::string_view body, bool end) {
    BodyChunk chunk;
    chunk.bytes = body;
    chunk.end = end;
    return chunk;
  }
  absl::StatusOr<http::ResponseHead*> ReadHead() { return event::RunTask(loop_, stream_->ReadHead()); }

  event::Task<absl::StatusOr<std::string>> ReadAllTask() {
    std::string all;
    while (true) {
      absl::StatusOr<BodyChunk> chunk = co_await stream_->ReadBody();
      if (!chunk.ok()) co_return chunk.status();
      all += chunk->bytes;
      if (chunk->end) co_return all;
    }
  }
  absl::StatusOr<std::string> ReadAll() { return event::RunTask(loop_, ReadAllTask()); }

  // A whole exchange; whether the connection lives on.
  bool Exchange(std::string_view response, std::string_view body) {
    Begin();
    EXPECT_TRUE(SendHead(Request()).ok());
    PeerSends(response);
    const absl::StatusOr<http::ResponseHead*> head = ReadHead();
    EXPECT_TRUE(head.ok()) << head.status();
    if (head.ok()) {
      const absl::StatusOr<std::string> all = ReadAll();
      EXPECT_TRUE(all.ok()) << all.status();
      if (all.ok()) {
        EXPECT_EQ(*all, body);
      }
    }
    End();
    return owner_.connection != nullptr && owner_.connection->reusable();
  }

  base::FakeClock clock_;
  event::Loop loop_;
  H1ClientOwner owner_;
  int opened_ = 0;
  std::unique_ptr<net::ByteStream> peer_;
  event::CancelScope peer_scope_;
  std::unique_ptr<event::CancelScope> scope_;
  base::Arena arena_;
  http::ClientStream* stream_ = nullptr;
};

}  // namespace portico::upstream

#endif  // DATAPLANE_UPSTREAM_H1_CLIENT_FIXTURE_H_
