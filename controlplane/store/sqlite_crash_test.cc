// A process that is killed while it commits loses nothing that it acknowledged.

#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <random>

#include "controlplane/store/sqlite_store.h"
#include "controlplane/store/test_resources.h"

namespace portico::control {
namespace {

// Commits until killed and writes one byte into `acknowledged` after every commit.
[[noreturn]] void CommitForever(const std::string& path, int acknowledged) {
  auto store = OpenSqliteStore({.path = path, .keep_revisions = 10});
  if (!store.ok()) _exit(1);
  auto head = (*store)->Load();
  if (!head.ok()) _exit(2);
  api::ResourceSet set = *head->set;
  for (uint64_t revision = head->info.revision + 1;; ++revision) {
    std::vector<v1::Resource> upserts;
    for (int i = 0; i < 5; ++i) {
      upserts.push_back(
          TestUpstream("u" + std::to_string((revision * 5 + static_cast<uint64_t>(i)) % 40),
                       static_cast<int>(1000 + revision % 5000)));
    }
    const std::vector<Change> changes = ChangesTo(set, upserts);
    if (!(*store)->Commit(revision - 1, InfoAfter(revision, set, changes), changes).ok()) _exit(3);
    ApplyTo(changes, set);
    if (write(acknowledged, "x", 1) != 1) _exit(4);
  }
}

TEST(SqliteStoreCrash, KeepsEveryAcknowledgedRevision) {
  std::string folder = testing::TempDir() + "/crashXXXXXX";
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  const std::string path = folder + "/store.db";
  std::mt19937 random(11);
  uint64_t acknowledged = 0;
  for (int round = 0; round < 20; ++round) {
    int pipe_ends[2];
    ASSERT_EQ(pipe(pipe_ends), 0);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      close(pipe_ends[0]);
      CommitForever(path, pipe_ends[1]);
    }
    close(pipe_ends[1]);
    // Kill it some commits in, wherever it then is; the reads below drain what it acknowledged.
    const size_t patience = random() % 8;
    char byte = 0;
    for (size_t i = 0; i < patience; ++i) {
      if (read(pipe_ends[0], &byte, 1) == 1) ++acknowledged;
    }
    // A busy loop of random length, to hit any point of a commit.
    for (uint32_t i = random() % 2'000'000; i > 0; --i) {
      std::atomic_signal_fence(std::memory_order_seq_cst);
    }
    kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the child ended by itself, code " << WEXITSTATUS(status);
    while (read(pipe_ends[0], &byte, 1) == 1) ++acknowledged;
    close(pipe_ends[0]);

    auto store = OpenSqliteStore({.path = path, .keep_revisions = 10});
    ASSERT_TRUE(store.ok()) << store.status();
    const auto head = (*store)->Load();
    ASSERT_TRUE(head.ok()) << head.status();
    // The last commit may have happened without its acknowledgement.
    ASSERT_GE(head->info.revision, acknowledged);
    ASSERT_LE(head->info.revision, acknowledged + 1);
    acknowledged = head->info.revision;
    const auto kept = (*store)->ListRevisions(0, 100);
    ASSERT_TRUE(kept.ok());
    ASSERT_EQ(kept->size(), std::min<uint64_t>(acknowledged, 10));
    for (const RevisionInfo& info : *kept) {
      ASSERT_TRUE((*store)->LoadRevision(info.revision).ok());
    }
  }
  EXPECT_GT(acknowledged, 20u);
}

}  // namespace
}  // namespace portico::control
