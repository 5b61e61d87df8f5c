#include "dataplane/observe/access_log_ring.h"

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace portico::observe {
namespace {

std::vector<std::string> Paths(AccessLogRing& ring) {
  std::vector<std::string> paths;
  ring.Drain([&paths](uint32_t, const AccessRecord& record) { paths.emplace_back(record.path); });
  return paths;
}

TEST(AccessLogRing, ARecordComesOutAsItWentIn) {
  AccessLogRing ring(4096);
  const std::vector<std::pair<std::string_view, std::string_view>> sent = {{"a", "1"}, {"b", "2"}};
  const std::vector<std::pair<std::string_view, std::string_view>> got = {{"c", "3"}};
  AccessRecord in;
  in.start = 1;
  in.duration_nanos = 2;
  in.upstream_duration_nanos = 3;
  in.client = net::IpAddress::Parse("192.0.2.1").value();
  in.client_port = 4;
  in.request_id = "id";
  in.method = "GET";
  in.detail = "last but";
  in.user_agent = "agent";
  in.tls_version = "TLSv1.2";
  in.tls_client = "CN=job";
  in.query = true;
  in.status = 5;
  in.request_bytes = 6;
  in.response_bytes = 7;
  in.attempts = 8;
  in.request_headers = sent;
  in.response_headers = got;
  ASSERT_TRUE(ring.Push(9, in));
  int seen = 0;
  ring.Drain([&](uint32_t sink, const AccessRecord& out) {
    ++seen;
    EXPECT_EQ(sink, 9u);
    EXPECT_EQ(out.start, 1);
    EXPECT_EQ(out.duration_nanos, 2);
    EXPECT_EQ(out.upstream_duration_nanos, 3);
    EXPECT_EQ(out.client, in.client);
    EXPECT_EQ(out.client_port, 4);
    EXPECT_EQ(out.request_id, "id");
    EXPECT_EQ(out.method, "GET");
    EXPECT_EQ(out.host, "");
    EXPECT_EQ(out.detail, "last but");
    EXPECT_EQ(out.user_agent, "agent");
    EXPECT_EQ(out.tls_version, "TLSv1.2");
    EXPECT_EQ(out.tls_client, "CN=job");
    EXPECT_TRUE(out.query);
    EXPECT_EQ(out.status, 5);
    EXPECT_EQ(out.request_bytes, 6u);
    EXPECT_EQ(out.response_bytes, 7u);
    EXPECT_EQ(out.attempts, 8u);
    EXPECT_EQ(std::vector(out.request_headers.begin(), out.request_headers.end()), sent);
    EXPECT_EQ(std::vector(out.response_headers.begin(), out.response_headers.end()), got);
  });
  EXPECT_EQ(seen, 1);
  EXPECT_TRUE(Paths(ring).empty());
}

TEST(AccessLogRing, AFullRingDropsAndCounts) {
  AccessLogRing ring(4096);
  const std::string path(500, 'p');
  AccessRecord record;
  record.path = path;
  int taken = 0;
  while (ring.Push(0, record)) ++taken;
  EXPECT_GE(taken, 4);
  EXPECT_EQ(ring.dropped(), 1u);
  EXPECT_FALSE(ring.Push(0, record));
  EXPECT_EQ(ring.dropped(), 2u);
  EXPECT_EQ(Paths(ring).size(), static_cast<size_t>(taken));
  EXPECT_TRUE(ring.Push(0, record));
}

TEST(AccessLogRing, LongTextsAreCutAndManyHeadersLeftOut) {
  AccessLogRing ring(1 << 20);
  const std::string path(100'000, 'p');
  const std::vector<std::pair<std::string_view, std::string_view>> headers(100, {"n", "v"});
  AccessRecord record;
  record.path = path;
  record.request_headers = headers;
  record.response_headers = headers;
  ASSERT_TRUE(ring.Push(0, record));
  ring.Drain([](uint32_t, const AccessRecord& out) {
    EXPECT_EQ(out.path.size(), AccessLogRing::kMaxTextBytes);
    EXPECT_EQ(out.request_headers.size(), AccessLogRing::kMaxHeaders);
    EXPECT_EQ(out.response_headers.size(), 0u);
  });
}

TEST(AccessLogRing, ARecordThatNeverFits) {
  AccessLogRing ring(1);
  EXPECT_EQ(ring.capacity(), 4096u);
  const std::string path(4096, 'p');
  AccessRecord record;
  record.path = path;
  EXPECT_FALSE(ring.Push(0, record));
  record.path = "short";
  EXPECT_TRUE(ring.Push(0, record));
}

// Records of all sizes, so that the end of the memory is met at every distance.
TEST(AccessLogRing, GoesRound) {
  AccessLogRing ring(4096);
  for (size_t i = 0; i < 20'000; ++i) {
    const std::string path(i * 7 % 1500, static_cast<char>('a' + i % 26));
    AccessRecord record;
    record.path = path;
    ASSERT_TRUE(ring.Push(0, record)) << i;
    ASSERT_EQ(Paths(ring), std::vector<std::string>{path}) << i;
  }
}

TEST(AccessLogRing, OneThreadWritesAnotherReads) {
  AccessLogRing ring(16384);
  constexpr uint64_t kRecords = 20'000;
  std::atomic<bool> done{false};
  std::thread writer([&] {
    for (uint64_t i = 0; i < kRecords;) {
      const std::string path = std::to_string(i) + std::string(i % 300, '-');
      AccessRecord record;
      record.path = path;
      record.request_bytes = i;
      if (ring.Push(0, record)) {
        ++i;
      } else {
        std::this_thread::yield();
      }
    }
    done = true;
  });
  uint64_t next = 0;
  for (bool last = false; !last;) {
    last = done;
    ring.Drain([&](uint32_t, const AccessRecord& record) {
      ASSERT_EQ(record.request_bytes, next);
      ASSERT_EQ(record.path, std::to_string(next) + std::string(next % 300, '-'));
      ++next;
    });
  }
  writer.join();
  EXPECT_EQ(next, kRecords);
}

}  // namespace
}  // namespace portico::observe
