#include "dataplane/discovery/last_good_cache.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "dataplane/base/fake_clock.h"
#include "dataplane/discovery/test_resources.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace portico::discovery_client {
namespace {

using ::testing::HasSubstr;

std::string MakeFolder() {
  std::string folder = ::testing::TempDir() + "/cache_XXXXXX";
  EXPECT_NE(mkdtemp(folder.data()), nullptr);
  return folder;
}

std::string Content(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

void Put(const std::string& path, std::string_view content, mode_t mode = 0600) {
  std::ofstream(path, std::ios::binary) << content;
  ASSERT_EQ(chmod(path.c_str(), mode), 0);
}

class LastGoodCacheTest : public ::testing::Test {
 protected:
  std::unique_ptr<LastGoodCache> Open(uint8_t key = 1, const std::string& node = "node") {
    LastGoodCacheOptions options{.folder = folder_ + "/cache", .node_id = node};
    options.key.fill(key);
    auto cache = LastGoodCache::Open(options, clock_);
    EXPECT_TRUE(cache.ok()) << cache.status();
    return *std::move(cache);
  }
  static std::shared_ptr<const api::ResourceSet> Set(const std::string& text) {
    return std::make_shared<const api::ResourceSet>(TestSet({{"a", text}}));
  }

  const std::string folder_ = MakeFolder();
  base::FakeClock clock_;
};

TEST_F(LastGoodCacheTest, SurvivesARestart) {
  auto cache = Open();
  EXPECT_EQ(cache->Load().status().code(), absl::StatusCode::kNotFound);
  cache->Store(7, Set("one"));
  cache->Flush();
  EXPECT_EQ(cache->writes(), 1u);
  struct stat status {};
  ASSERT_EQ(stat(cache->path().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  ASSERT_EQ(stat((folder_ + "/cache").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0700u);

  cache = Open();
  const auto loaded = cache->Load();
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->revision, 7u);
  EXPECT_EQ(loaded->saved_at, clock_.Unix());
  EXPECT_EQ(api::ChecksumOf(loaded->resources), api::ChecksumOf(*Set("one")));
}

TEST_F(LastGoodCacheTest, ManyRevisionsAreFewWritesAndTheLastOneCounts) {
  {
    auto cache = Open();
    cache->Store(1, Set("1"));
    cache->Flush();
    // The clock stands still: all of these wait for the interval to pass.
    for (uint64_t i = 2; i <= 50; ++i) cache->Store(i, Set(std::to_string(i)));
    EXPECT_EQ(cache->writes(), 1u);
  }
  EXPECT_EQ(Open()->Load()->revision, 50u);
}

TEST_F(LastGoodCacheTest, WhatCannotBeUsedIsSetAside) {
  auto cache = Open();
  cache->Store(7, Set("one"));
  cache->Flush();
  const std::string path = cache->path();
  const std::string good = Content(path);

  struct Case {
    const char* name;
    std::string content;
    uint8_t key;
    const char* message;
  };
  std::string flipped = good;
  flipped.back() = static_cast<char>(flipped.back() ^ 1);
  std::string version = good;
  version[8] = 2;
  const std::vector<Case> cases = {
      {"empty", "", 1, "no cache"},
      {"text", "hello", 1, "no cache"},
      {"cut", good.substr(0, good.size() - 1), 1, "changed or cut"},
      {"flipped", flipped, 1, "changed or cut"},
      {"newer version", version, 1, "format version 2"},
      {"wrong key", good, 2, "another key"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    Put(path, c.content);
    cache = Open(c.key);
    const auto loaded = cache->Load();
    EXPECT_EQ(loaded.status().code(), absl::StatusCode::kDataLoss);
    EXPECT_THAT(std::string(loaded.status().message()), HasSubstr(c.message));
    EXPECT_EQ(Content(path + ".corrupt"), c.content);
    EXPECT_EQ(cache->Load().status().code(), absl::StatusCode::kNotFound);
  }
  // Another node in the same folder has a file of its own.
  Put(path, good);
  EXPECT_EQ(Open(1, "other")->Load().status().code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(Open()->Load().ok());
}

TEST_F(LastGoodCacheTest, AFailedWriteLeavesWhatWasThere) {
  auto cache = Open();
  cache->Store(1, Set("one"));
  cache->Flush();
  const std::string good = Content(cache->path());
  // The temporary file's name is taken by a folder: it cannot be made.
  const std::string blocked = cache->path() + ".tmp." + std::to_string(getpid());
  ASSERT_EQ(mkdir(blocked.c_str(), 0700), 0);
  cache->Store(2, Set("two"));
  cache->Flush();
  EXPECT_EQ(cache->failures(), 1u);
  EXPECT_EQ(Content(cache->path()), good);
  ASSERT_EQ(rmdir(blocked.c_str()), 0);
  cache->Store(3, Set("three"));
  cache->Flush();
  EXPECT_EQ(cache->Load()->revision, 3u);
}

TEST_F(LastGoodCacheTest, FoldersThatCannotBeUsed) {
  Put(folder_ + "/file", "");
  for (const std::string& folder : {std::string(), folder_ + "/file", folder_ + "/a/b"}) {
    const auto cache = LastGoodCache::Open({.folder = folder, .node_id = "n"}, clock_);
    ASSERT_FALSE(cache.ok()) << folder;
    EXPECT_THAT(std::string(cache.status().message()), HasSubstr("\"" + folder + "\""));
    EXPECT_THAT(std::string(cache.status().message()), HasSubstr("give a folder"));
  }
}

TEST_F(LastGoodCacheTest, ManyThreadsStoreAndFlush) {
  auto cache = Open();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (uint64_t i = 1; i <= 20; ++i) {
        cache->Store(i, Set("x"));
        if (i % 5 == 0) cache->Flush();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  cache->Flush();
  EXPECT_TRUE(cache->Load().ok());
}

TEST_F(LastGoodCacheTest, KeyFiles) {
  const std::string raw(32, 'k');
  const std::string hex(64, 'a');
  struct Case {
    const char* name;
    std::string content;
    mode_t mode;
    const char* error;  // null: fine
  };
  const std::vector<Case> cases = {
      {"raw", raw, 0600, nullptr},
      {"hex", hex, 0600, nullptr},
      {"hex with a newline", hex + "\n", 0640, nullptr},
      {"short", "abc", 0600, "holds 3 bytes"},
      {"empty", "", 0600, "holds 0 bytes"},
      {"not hex", std::string(63, 'a') + "g", 0600, "64 hexadecimal"},
      {"long", std::string(33, 'k'), 0600, "holds 33 bytes"},
      {"readable by everybody", raw, 0644, "chmod 600"},
      {"huge", std::string(100'000, 'k'), 0600, "more than"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    const std::string path = folder_ + "/key";
    Put(path, c.content, c.mode);
    const auto key = ReadCacheKey(path, false);
    if (c.error == nullptr) {
      EXPECT_TRUE(key.ok()) << key.status();
    } else {
      EXPECT_THAT(std::string(key.status().message()), HasSubstr(c.error));
      EXPECT_THAT(std::string(key.status().message()), HasSubstr(path));
    }
  }
  EXPECT_EQ(ReadCacheKey(folder_ + "/key2", false).status().code(),
            absl::StatusCode::kInvalidArgument);
  const auto made = ReadCacheKey(folder_ + "/key2", true);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(*ReadCacheKey(folder_ + "/key2", true), *made);
  EXPECT_NE(*made, CacheKey{});
  EXPECT_FALSE(ReadCacheKey(folder_ + "/missing/key", true).ok());
  EXPECT_FALSE(ReadCacheKey(folder_, false).ok());
}

TEST_F(LastGoodCacheTest, KeysDerivedFromTheTlsKey) {
  Put(folder_ + "/a.pem", "one");
  Put(folder_ + "/b.pem", "two");
  Put(folder_ + "/empty.pem", "");
  const auto a = DeriveCacheKey(folder_ + "/a.pem");
  ASSERT_TRUE(a.ok());
  EXPECT_EQ(*a, *DeriveCacheKey(folder_ + "/a.pem"));
  EXPECT_NE(*a, *DeriveCacheKey(folder_ + "/b.pem"));
  EXPECT_FALSE(DeriveCacheKey(folder_ + "/empty.pem").ok());
  EXPECT_FALSE(DeriveCacheKey(folder_ + "/missing.pem").ok());
}

}  // namespace
}  // namespace portico::discovery_client
