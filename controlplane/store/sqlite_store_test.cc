#include "controlplane/store/sqlite_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <functional>
#include <iterator>

#include "controlplane/store/sqlite_database.h"
#include "controlplane/store/test_resources.h"

namespace portico::control {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string NewPath() {
  std::string folder = testing::TempDir() + "/sqliteXXXXXX";
  EXPECT_NE(mkdtemp(folder.data()), nullptr);
  return folder + "/store.db";
}

std::unique_ptr<Store> Open(const std::string& path) {
  auto store = OpenSqliteStore({.path = path});
  EXPECT_TRUE(store.ok()) << store.status();
  return store.ok() ? *std::move(store) : nullptr;
}

void Put(Store& store, uint64_t revision, const std::vector<v1::Resource>& upserts) {
  const absl::StatusOr<Revision> head = store.Load();
  ASSERT_TRUE(head.ok()) << head.status();
  const std::vector<Change> changes = ChangesTo(*head->set, upserts);
  ASSERT_TRUE(
      store.Commit(head->info.revision, InfoAfter(revision, *head->set, changes), changes).ok());
}

void RunSql(const std::string& path, const std::string& sql) {
  auto database = Database::Open(path);
  ASSERT_TRUE(database.ok());
  ASSERT_TRUE((*database)->Execute(sql).ok());
}

int64_t QuerySql(const std::string& path, const std::string& sql) {
  auto database = Database::Open(path);
  EXPECT_TRUE(database.ok());
  auto value = (*database)->QueryInteger(sql);
  EXPECT_TRUE(value.ok()) << value.status();
  return value.value_or(-1);
}

TEST(SqliteStore, SurvivesReopening) {
  const std::string path = NewPath();
  {
    auto store = Open(path);
    Put(*store, 1, {TestUpstream("a")});
    Put(*store, 2, {TestUpstream("b")});
  }
  auto store = Open(path);
  const auto head = store->Load();
  ASSERT_TRUE(head.ok());
  EXPECT_EQ(head->info.revision, 2u);
  EXPECT_EQ(head->set->size(), 2u);
}

TEST(SqliteStore, KeepsEqualContentsOnce) {
  const std::string path = NewPath();
  auto store = Open(path);
  for (int i = 0; i < 10; ++i) {
    Put(*store, static_cast<uint64_t>(i) + 1, {TestUpstream("a", 80 + i % 2)});
  }
  EXPECT_EQ(QuerySql(path, "SELECT COUNT(*) FROM contents"), 2);
  EXPECT_EQ(QuerySql(path, "SELECT COUNT(*) FROM versions"), 10);
}

TEST(SqliteStore, ForgetsContentsThatNobodyUses) {
  const std::string path = NewPath();
  auto store = OpenSqliteStore({.path = path, .keep_revisions = 2});
  ASSERT_TRUE(store.ok());
  for (int i = 0; i < 10; ++i) {
    Put(**store, static_cast<uint64_t>(i) + 1, {TestUpstream("a", 80 + i)});
  }
  EXPECT_EQ(QuerySql(path, "SELECT COUNT(*) FROM contents"), 2);
  EXPECT_EQ(QuerySql(path, "SELECT COUNT(*) FROM versions"), 2);
  EXPECT_EQ(QuerySql(path, "SELECT COUNT(*) FROM revisions"), 2);
}

TEST(SqliteStore, IsReadableByItsOwnerOnly) {
  const std::string path = NewPath();
  auto store = Open(path);
  Put(*store, 1, {TestUpstream("a")});
  for (const char* suffix : {"", "-wal", "-shm", ".lock", ".key"}) {
    struct stat info = {};
    ASSERT_EQ(stat((path + suffix).c_str(), &info), 0) << suffix;
    EXPECT_EQ(info.st_mode & 0077, 0u) << suffix;
  }
}

TEST(SqliteStore, RefusesASecondControlPlane) {
  const std::string path = NewPath();
  auto store = Open(path);
  const auto second = OpenSqliteStore({.path = path});
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.status().message()),
              AllOf(HasSubstr(path), HasSubstr("another control plane uses this store")));
}

TEST(SqliteStore, SaysWhenSomebodyHoldsTheLock) {
  const std::string path = NewPath();
  auto store = Open(path);
  auto other = Database::Open(path);
  ASSERT_TRUE((*other)->Execute("BEGIN IMMEDIATE").ok());
  const std::vector<Change> changes = ChangesTo({}, {TestUpstream("a")});
  const absl::Status status = store->Commit(0, InfoAfter(1, {}, changes), changes);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr(path), HasSubstr("another program holds the store")));
  ASSERT_TRUE((*other)->Execute("COMMIT").ok());
  EXPECT_TRUE(store->Commit(0, InfoAfter(1, {}, changes), changes).ok());
}

TEST(SqliteStore, RefusesOtherFiles) {
  const std::string path = NewPath();
  std::ofstream(path) << std::string(8192, 'x');
  const auto store = OpenSqliteStore({.path = path});
  EXPECT_EQ(store.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(store.status().message()),
              AllOf(HasSubstr(path), HasSubstr("not a Portico store")));
}

TEST(SqliteStore, RefusesOtherDatabases) {
  const std::string path = NewPath();
  RunSql(path, "CREATE TABLE customers (id INTEGER)");
  const auto store = OpenSqliteStore({.path = path});
  EXPECT_EQ(store.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(store.status().message()), HasSubstr("not a Portico store"));
}

TEST(SqliteStore, RefusesNewerSchemas) {
  const std::string path = NewPath();
  Open(path);
  RunSql(path, "PRAGMA user_version=99");
  const auto store = OpenSqliteStore({.path = path});
  EXPECT_EQ(store.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(store.status().message()),
              AllOf(HasSubstr(path), HasSubstr("newer Portico (schema 99")));
}

TEST(SqliteStore, RefusesMissingFolders) {
  const auto store = OpenSqliteStore({.path = NewPath() + "/missing/store.db"});
  EXPECT_EQ(store.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(store.status().message()), HasSubstr("check that the folder"));
}

TEST(SqliteStore, FindsDamagedContents) {
  const std::string path = NewPath();
  {
    auto store = Open(path);
    Put(*store, 1, {TestUpstream("a")});
  }
  // A resource that parses, but is not the one that was stored.
  RunSql(path, "UPDATE contents SET content = content || x'1a0178'");
  auto store = Open(path);
  const auto head = store->Load();
  EXPECT_EQ(head.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(head.status().message()), AllOf(HasSubstr(path), HasSubstr("damaged")));
}

TEST(SqliteStore, FindsMissingRows) {
  const std::string path = NewPath();
  {
    auto store = Open(path);
    Put(*store, 1, {TestUpstream("a"), TestUpstream("b")});
  }
  RunSql(path, "DELETE FROM versions WHERE name = 'a'");
  auto store = Open(path);
  EXPECT_EQ(store->Load().status().code(), absl::StatusCode::kDataLoss);
}

TEST(SqliteStore, FindsDamagedPages) {
  const std::string path = NewPath();
  {
    auto store = Open(path);
    std::vector<v1::Resource> many;
    for (int i = 0; i < 500; ++i) many.push_back(TestUpstream("u" + std::to_string(i), 1000 + i));
    Put(*store, 1, many);
  }
  RunSql(path, "PRAGMA wal_checkpoint(TRUNCATE)");
  {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    for (int page = 2; page < 12; ++page) {
      file.seekp(page * 4096);
      file << std::string(2048, '\xff');
    }
  }
  auto store = OpenSqliteStore({.path = path});
  const absl::Status status = store.ok() ? (*store)->Load().status() : store.status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(path));
}

// All bytes of the store's files.
std::string BytesOf(const std::string& path) {
  std::string bytes;
  for (const char* suffix : {"", "-wal"}) {
    std::ifstream file(path + suffix, std::ios::binary);
    bytes.append(std::istreambuf_iterator<char>(file), {});
  }
  return bytes;
}

constexpr char kSecret[] = "a secret that is nowhere in the file";

v1::Resource WithSecret(const std::string& name) {
  v1::Resource resource = TestUpstream(name);
  resource.set_description(std::string(kSecret) + name);
  return resource;
}

TEST(SqliteStoreKey, ContentsAreEncrypted) {
  const std::string path = NewPath();
  {
    auto store = Open(path);
    Put(*store, 1, {WithSecret("a")});
    EXPECT_EQ(BytesOf(path).find(kSecret), std::string::npos);
  }
  EXPECT_EQ(BytesOf(path).find(kSecret), std::string::npos);
  struct stat info = {};
  ASSERT_EQ(stat((path + ".key").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
  EXPECT_EQ(info.st_size, 32);
  auto store = Open(path);
  EXPECT_EQ(store->Load()->set->at({"Upstream", "a"})->resource.description(),
            std::string(kSecret) + "a");
}

TEST(SqliteStoreKey, MayStandElsewhereAndInHexadecimal) {
  const std::string path = NewPath();
  const std::string key = path + "-of-mine";
  std::ofstream(key) << std::string(64, 'a') << "\n";
  ASSERT_EQ(chmod(key.c_str(), 0600), 0);
  for (int i = 0; i < 2; ++i) {
    auto store = OpenSqliteStore({.path = path, .key_file = key});
    ASSERT_TRUE(store.ok()) << store.status();
    if (i == 0) Put(**store, 1, {WithSecret("a")});
    EXPECT_EQ((*store)->Load()->set->size(), 1u);
  }
  EXPECT_FALSE(std::ifstream(path + ".key").good());
}

TEST(SqliteStoreKey, AMissingOrWrongOneChangesNothing) {
  const std::string path = NewPath();
  {
    auto store = Open(path);
    Put(*store, 1, {WithSecret("a")});
  }
  const std::string key = path + ".key";
  const std::string bytes = BytesOf(path);
  ASSERT_EQ(rename(key.c_str(), (key + ".kept").c_str()), 0);
  const auto write = [&](const std::string& content, mode_t mode) {
    std::ofstream(key) << content;
    ASSERT_EQ(chmod(key.c_str(), mode), 0);
  };
  const struct {
    const char* name;
    std::function<void()> arrange;
    const char* message;
  } cases[] = {
      {"missing", [] {}, "is missing: restore that"},
      {"another", [&] { write(std::string(32, 'x'), 0600); }, "another key than the one in"},
      {"short", [&] { write("x", 0600); }, "holds 1 bytes: it must hold 32"},
      {"open to all", [&] { write(std::string(32, 'x'), 0644); }, "chmod 600"},
  };
  for (const auto& c : cases) {
    c.arrange();
    const auto store = OpenSqliteStore({.path = path});
    EXPECT_EQ(store.status().code(), absl::StatusCode::kFailedPrecondition) << c.name;
    EXPECT_THAT(std::string(store.status().message()), AllOf(HasSubstr(key), HasSubstr(c.message)))
        << c.name;
    EXPECT_EQ(BytesOf(path), bytes) << c.name;
    if (std::string(c.name) == "missing") {
      EXPECT_FALSE(std::ifstream(key).good());
    }
  }
  ASSERT_EQ(rename((key + ".kept").c_str(), key.c_str()), 0);
  EXPECT_EQ(Open(path)->Load()->set->size(), 1u);
}

TEST(SqliteStoreKey, AnOlderStoreIsEncryptedAtOnce) {
  const std::string path = NewPath();
  std::vector<v1::Resource> resources;
  for (int i = 0; i < 300; ++i) resources.push_back(WithSecret("u" + std::to_string(i)));
  {
    auto store = Open(path);
    Put(*store, 1, resources);
  }
  auto database = Database::Open(path);
  ASSERT_TRUE(database.ok());
  for (const v1::Resource& resource : resources) {
    const api::StoredResourcePtr stored = api::MakeStored(resource);
    Statement update = (*database)->Prepare("UPDATE contents SET content = ? WHERE hash = ?");
    const std::string hash(reinterpret_cast<const char*>(stored->hash.data()),
                           stored->hash.size());
    update.BindBlob(1, stored->content).BindBlob(2, hash);
    ASSERT_TRUE(update.Run().ok());
  }
  ASSERT_TRUE((*database)->Execute("DROP TABLE sealing; PRAGMA user_version=1").ok());
  // Also in pages that are no longer used.
  ASSERT_TRUE((*database)->Execute("CREATE TABLE old AS SELECT * FROM contents; DROP TABLE old").ok());
  database->reset();
  ASSERT_EQ(unlink((path + ".key").c_str()), 0);
  ASSERT_NE(BytesOf(path).find(kSecret), std::string::npos);

  for (int i = 0; i < 2; ++i) {
    auto store = Open(path);
    ASSERT_NE(store, nullptr);
    EXPECT_EQ(BytesOf(path).find(kSecret), std::string::npos);
    const auto head = store->Load();
    ASSERT_TRUE(head.ok()) << head.status();
    EXPECT_EQ(head->set->size(), resources.size());
  }
  EXPECT_EQ(QuerySql(path, "PRAGMA user_version"), 2);
  EXPECT_EQ(QuerySql(path, "SELECT wiped FROM sealing"), 1);
}

TEST(SqliteStoreKey, SwappedContentsAreFound) {
  const std::string path = NewPath();
  {
    auto store = Open(path);
    Put(*store, 1, {TestUpstream("a", 1), TestUpstream("b", 2)});
  }
  RunSql(path,
         "UPDATE contents SET content = (SELECT content FROM contents c WHERE c.id <> contents.id)");
  EXPECT_EQ(Open(path)->Load().status().code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace portico::control
