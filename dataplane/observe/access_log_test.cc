#include "dataplane/observe/access_log.h"

#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace portico::observe {
namespace {

using ::testing::HasSubstr;

class AccessLogTest : public ::testing::Test {
 protected:
  AccessLogTest() {
    folder_ = ::testing::TempDir() + "/access_log_XXXXXX";
    EXPECT_NE(mkdtemp(folder_.data()), nullptr);
  }

  static std::vector<std::string> Lines(const std::string& path) {
    std::ifstream file(path);
    std::vector<std::string> lines;
    for (std::string line; std::getline(file, line);) lines.push_back(line);
    return lines;
  }
  static AccessRecord Record(std::string_view path) {
    AccessRecord record;
    record.path = path;
    return record;
  }

  std::string folder_;
};

TEST_F(AccessLogTest, WhatIsFlushedIsStored) {
  auto service = AccessLogService::Create(1 << 16);
  const std::string path = folder_ + "/a.log";
  const uint32_t sink = service->Sink(path).value();
  EXPECT_EQ(service->Sink(path).value(), sink);
  auto writer = service->MakeWriter();
  EXPECT_TRUE(writer->Write(sink, Record("/one")));
  EXPECT_TRUE(writer->Write(sink, Record("/two")));
  service->Flush();
  const std::vector<std::string> lines = Lines(path);
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(nlohmann::json::parse(lines[0])["path"], "/one");
  EXPECT_EQ(nlohmann::json::parse(lines[1])["path"], "/two");
  struct stat status {};
  ASSERT_EQ(stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777 & ~0640u, 0u);
  EXPECT_EQ(service->dropped(), 0u);
}

TEST_F(AccessLogTest, StoppingStoresWhatGoneWritersLeft) {
  const std::string path = folder_ + "/a.log";
  {
    auto service = AccessLogService::Create(1 << 16);
    const uint32_t sink = service->Sink(path).value();
    service->MakeWriter()->Write(sink, Record("/left"));
  }
  EXPECT_EQ(Lines(path).size(), 1u);
}

TEST_F(AccessLogTest, PathsThatCannotBeOpened) {
  auto service = AccessLogService::Create(4096);
  struct Case {
    std::string path, message;
  };
  const std::vector<Case> cases = {
      {"", "absolute path or \"stdout\""},
      {"relative.log", "\"relative.log\""},
      {folder_ + "/missing/a.log", "No such file or directory"},
      {folder_, "Is a directory"},
      {std::string("/dev/nu\0ll", 10), "absolute path"},
  };
  for (const Case& c : cases) {
    const auto sink = service->Sink(c.path);
    ASSERT_FALSE(sink.ok()) << c.path;
    EXPECT_THAT(std::string(sink.status().message()), HasSubstr(c.message));
  }
  // A sink that does not exist costs the record, nothing else.
  auto writer = service->MakeWriter();
  writer->Write(77, Record("/"));
  service->Flush();
  EXPECT_EQ(service->dropped(), 1u);
}

TEST_F(AccessLogTest, AFullDiskLosesRecordsAndCountsThem) {
  auto service = AccessLogService::Create(1 << 16);
  const uint32_t full = service->Sink("/dev/full").value();
  const uint32_t fine = service->Sink(folder_ + "/a.log").value();
  auto writer = service->MakeWriter();
  for (int i = 0; i < 10; ++i) {
    writer->Write(full, Record("/lost"));
    writer->Write(fine, Record("/kept"));
  }
  service->Flush();
  EXPECT_EQ(service->dropped(), 10u);
  EXPECT_EQ(Lines(folder_ + "/a.log").size(), 10u);
}

TEST_F(AccessLogTest, APipeThatNobodyReadsStopsNothing) {
  const std::string path = folder_ + "/pipe";
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  auto service = AccessLogService::Create(1 << 20);
  EXPECT_FALSE(service->Sink(path).ok());  // No reader at all: an error, not a hang.
  std::fstream reader(path);               // Holds the pipe open, reads nothing.
  const uint32_t sink = service->Sink(path).value();
  auto writer = service->MakeWriter();
  const std::string text(1000, 'p');
  for (int i = 0; i < 500; ++i) writer->Write(sink, Record(text));
  service->Flush();
  EXPECT_GT(service->dropped(), 100u);
  EXPECT_LT(service->dropped(), 500u);
}

TEST_F(AccessLogTest, ReopenFollowsARotation) {
  auto service = AccessLogService::Create(1 << 16);
  const std::string path = folder_ + "/a.log";
  const uint32_t sink = service->Sink(path).value();
  auto writer = service->MakeWriter();
  writer->Write(sink, Record("/one"));
  ASSERT_EQ(rename(path.c_str(), (path + ".1").c_str()), 0) << "not flushed: still the same file";
  service->Reopen();
  writer->Write(sink, Record("/two"));
  service->Flush();
  EXPECT_THAT(Lines(path + ".1"), ::testing::ElementsAre(HasSubstr("/one")));
  EXPECT_THAT(Lines(path), ::testing::ElementsAre(HasSubstr("/two")));

  // The folder is gone: the old file is used on.
  ASSERT_EQ(rename(folder_.c_str(), (folder_ + ".moved").c_str()), 0);
  service->Reopen();
  writer->Write(sink, Record("/three"));
  service->Flush();
  EXPECT_EQ(Lines(folder_ + ".moved/a.log").size(), 2u);
}

TEST_F(AccessLogTest, ManyWritersWhileOthersFlushAndReopen) {
  const std::string path = folder_ + "/a.log";
  constexpr int kWriters = 4, kRecords = 5000;
  uint64_t dropped = 0;
  {
    auto service = AccessLogService::Create(1 << 18);
    const uint32_t sink = service->Sink(path).value();
    std::vector<std::thread> threads;
    for (int w = 0; w < kWriters; ++w) {
      threads.emplace_back([&, w] {
        auto writer = service->MakeWriter();
        for (int i = 0; i < kRecords; ++i) {
          const std::string text = "/" + std::to_string(w) + "/" + std::to_string(i);
          writer->Write(sink, Record(text));
        }
      });
    }
    for (int i = 0; i < 10; ++i) {
      service->Flush();
      service->Reopen();
      EXPECT_TRUE(service->Sink(folder_ + "/other" + std::to_string(i)).ok());
    }
    for (auto& thread : threads) thread.join();
    service->Flush();
    service->Flush();
    dropped = service->dropped();
  }
  std::set<std::string> paths;
  for (const std::string& line : Lines(path)) {
    const auto parsed = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    ASSERT_FALSE(parsed.is_discarded()) << line;
    paths.insert(parsed["path"].get<std::string>());
  }
  EXPECT_EQ(paths.size() + dropped, static_cast<size_t>(kWriters * kRecords));
}

}  // namespace
}  // namespace portico::observe
