#include "dataplane/server/files.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>

namespace portico::server {
namespace {

constexpr char kListener[] = "kind: Listener\nname: http\nspec: {address: \"127.0.0.1:80\"}\n";

class FilesTest : public testing::Test {
 protected:
  FilesTest() {
    const testing::TestInfo& test = *testing::UnitTest::GetInstance()->current_test_info();
    folder_ = testing::TempDir() + "files_test." + test.name();
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  ~FilesTest() override { std::filesystem::remove_all(folder_); }

  std::string Path(const std::string& name) const { return folder_ + "/" + name; }
  std::string Write(const std::string& name, const std::string& text) const {
    std::ofstream(Path(name), std::ios::binary) << text;
    return Path(name);
  }
  static std::string Read(const std::string& path) {
    std::stringstream text;
    text << std::ifstream(path, std::ios::binary).rdbuf();
    return text.str();
  }
  size_t Files() const {
    size_t count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder_)) ++count;
    return count;
  }

  std::string folder_;
};

TEST_F(FilesTest, ReadsYamlAndJson) {
  const struct {
    const char* name;
    std::string text;
    size_t resources;
  } cases[] = {
      {"one.yaml", kListener, 1},
      {"two.yaml", std::string(kListener) + "---\nkind: Listener\nname: other\nspec: {address: \"[::1]:81\"}\n", 2},
      {"one.json", R"({"kind": "Listener", "name": "http", "spec": {"address": "127.0.0.1:80"}})", 1},
      {"empty.yaml", "", 0},
  };
  for (const auto& c : cases) {
    const auto set = LoadResources(Write(c.name, c.text));
    ASSERT_TRUE(set.ok()) << c.name << ": " << set.status();
    EXPECT_EQ(set->size(), c.resources) << c.name;
  }
  const auto set = LoadResources(Path("two.yaml"));
  const auto found = set->find({"Listener", "other"});
  ASSERT_NE(found, set->end());
  EXPECT_EQ(found->second->resource.listener().address(), "[::1]:81");
  EXPECT_EQ(found->second->hash, api::Sha256(found->second->content));
}

TEST_F(FilesTest, EveryFaultIsNamedWithItsPlace) {
  const struct {
    std::string path;
    std::vector<std::string> needles;
  } cases[] = {
      {Path("missing.yaml"), {"missing.yaml", "No such file"}},
      {folder_, {folder_, "cannot be read"}},
      {Write("syntax.yaml", "kind: Listener\nname: [\n"), {"syntax.yaml"}},
      {Write("twice.yaml", std::string(kListener) + "---\n" + kListener), {"twice.yaml", "Listener/http", "twice"}},
      {Write("unknown.yaml", "kind: Listener\nname: http\nspec: {adress: \"1.2.3.4:5\"}\n"),
       {"unknown.yaml", "adress", "address"}},
      {Write("faults.yaml", "kind: Lisener\nname: a\nspec: {}\n---\nkind: Upstream\nname: b\nspec: {endpoint: []}\n"),
       {"Lisener", "endpoint"}},
  };
  for (const auto& c : cases) {
    const auto set = LoadResources(c.path);
    ASSERT_FALSE(set.ok()) << c.path;
    EXPECT_TRUE(absl::IsInvalidArgument(set.status())) << set.status();
    for (const std::string& needle : c.needles) {
      EXPECT_NE(set.status().message().find(needle), std::string::npos) << needle << " in " << set.status();
    }
  }
}

TEST_F(FilesTest, WritesAndReplaces) {
  const std::string path = Path("addresses");
  ASSERT_TRUE(WriteFileAtomically(path, "one\n").ok());
  EXPECT_EQ(Read(path), "one\n");
  ASSERT_TRUE(WriteFileAtomically(path, "").ok());
  EXPECT_EQ(Read(path), "");
  const std::string binary("a\0b", 3);
  ASSERT_TRUE(WriteFileAtomically(path, binary).ok());
  EXPECT_EQ(Read(path), binary);
  EXPECT_EQ(Files(), 1u);
}

TEST_F(FilesTest, AFailedWriteLeavesNothing) {
  const absl::Status missing = WriteFileAtomically(Path("no/such/folder/file"), "x");
  EXPECT_TRUE(absl::IsUnavailable(missing)) << missing;
  EXPECT_NE(missing.message().find("no/such/folder/file"), std::string::npos);
  EXPECT_NE(missing.message().find("No such file"), std::string::npos);

  std::filesystem::create_directories(Path("taken/inside"));
  const absl::Status taken = WriteFileAtomically(Path("taken"), "x");
  EXPECT_TRUE(absl::IsUnavailable(taken)) << taken;
  EXPECT_EQ(Files(), 1u);
}

TEST_F(FilesTest, ReadersNeverSeeHalfAFile) {
  const std::string path = Path("addresses");
  const std::string texts[2] = {std::string(100'000, 'a'), std::string(50'000, 'b')};
  ASSERT_TRUE(WriteFileAtomically(path, texts[0]).ok());
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    for (int i = 0; i < 200; ++i) {
      if (!WriteFileAtomically(path, texts[i % 2]).ok()) break;
    }
    stop = true;
  });
  while (!stop) {
    const std::string seen = Read(path);
    if (seen != texts[0] && seen != texts[1]) {
      ADD_FAILURE() << seen.size() << " bytes";
      break;
    }
  }
  writer.join();
}

}  // namespace
}  // namespace portico::server
