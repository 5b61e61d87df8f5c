#include "controlplane/store/sqlite_store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "controlplane/store/sealer.h"
#include "controlplane/store/sqlite_database.h"
#include "controlplane/store/sqlite_schema.h"

namespace portico::control {
namespace {

constexpr char kInfoColumns[] =
    "revision, created_unix_nanos, author, message, peer, created, updated, deleted, checksum";

std::string_view View(const api::Digest& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

absl::Status Damaged(const std::string& path, std::string_view what) {
  return absl::DataLossError(absl::StrCat(
      path, ": ", std::string(what),
      ": the store is damaged: move it away and restore a backup, or start with an empty store and "
      "apply the configuration again"));
}

absl::StatusOr<RevisionInfo> ReadInfo(const Statement& row, const std::string& path) {
  RevisionInfo info;
  info.revision = static_cast<uint64_t>(row.Integer(0));
  info.created_at = absl::FromUnixNanos(row.Integer(1));
  info.author = row.Bytes(2);
  info.message = row.Bytes(3);
  info.peer = row.Bytes(4);
  info.created = static_cast<uint32_t>(row.Integer(5));
  info.updated = static_cast<uint32_t>(row.Integer(6));
  info.deleted = static_cast<uint32_t>(row.Integer(7));
  const std::string_view checksum = row.Bytes(8);
  if (checksum.size() != info.checksum.size()) {
    return Damaged(path, absl::StrCat("revision ", info.revision, " has no checksum"));
  }
  std::copy(checksum.begin(), checksum.end(), info.checksum.begin());
  return info;
}

// Holds PATH.lock as long as it lives; the kernel lets go of it when the process ends, however it
// does.
class LockFile {
 public:
  static absl::StatusOr<LockFile> Take(const std::string& store_path) {
    const std::string path = store_path + ".lock";
    const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
      return absl::UnavailableError(
          absl::StrCat(store_path, ": cannot create ", path, ": ", strerror(errno),
                       ": check that the folder of --store exists and may be written"));
    }
    LockFile lock(fd);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
      return absl::UnavailableError(
          absl::StrCat(store_path,
                       ": another control plane uses this store: end it, or give this one another "
                       "--store"));
    }
    return lock;
  }
  LockFile(LockFile&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  LockFile& operator=(LockFile&&) = delete;
  ~LockFile() {
    if (fd_ >= 0) close(fd_);
  }

 private:
  explicit LockFile(int fd) : fd_(fd) {}
  int fd_;
};

class SqliteStore final : public Store {
 public:
  SqliteStore(LockFile lock, Sealer sealer, std::unique_ptr<Database> writer,
              std::unique_ptr<Database> reader, size_t keep_revisions)
      : lock_(std::move(lock)),
        sealer_(std::move(sealer)),
        writer_(std::move(writer)),
        reader_(std::move(reader)),
        keep_revisions_(std::max<size_t>(1, keep_revisions)) {}

  absl::StatusOr<Revision> Load() override;
  absl::Status Commit(uint64_t previous, const RevisionInfo& info,
                      const std::vector<Change>& changes) override;
  absl::StatusOr<Revision> LoadRevision(uint64_t revision) override;
  absl::StatusOr<std::vector<RevisionInfo>> ListRevisions(uint64_t before, size_t limit) override;

 private:
  absl::StatusOr<std::vector<RevisionInfo>> ReadInfos(uint64_t before, size_t limit);
  absl::StatusOr<Revision> ReadRevision(RevisionInfo info);
  absl::Status WriteInfo(const RevisionInfo& info);
  absl::Status WriteChanges(uint64_t revision, const std::vector<Change>& changes);
  absl::Status ForgetOld(uint64_t newest);

  const LockFile lock_;
  const Sealer sealer_;
  std::mutex writer_mutex_;
  const std::unique_ptr<Database> writer_;  // Guarded by writer_mutex_.
  std::mutex reader_mutex_;
  const std::unique_ptr<Database> reader_;  // Guarded by reader_mutex_.
  const size_t keep_revisions_;
};

absl::StatusOr<std::vector<RevisionInfo>> SqliteStore::ReadInfos(uint64_t before, size_t limit) {
  Statement select = reader_->Prepare(absl::StrCat(
      "SELECT ", kInfoColumns,
      " FROM revisions WHERE ?1 = 0 OR revision < ?1 ORDER BY revision DESC LIMIT ?2"));
  select.Bind(1, static_cast<int64_t>(before)).Bind(2, static_cast<int64_t>(limit));
  std::vector<RevisionInfo> infos;
  while (true) {
    const absl::StatusOr<bool> row = select.Step();
    if (!row.ok()) return row.status();
    if (!*row) return infos;
    absl::StatusOr<RevisionInfo> info = ReadInfo(select, reader_->path());
    if (!info.ok()) return info.status();
    infos.push_back(*std::move(info));
  }
}

absl::StatusOr<Revision> SqliteStore::ReadRevision(RevisionInfo info) {
  Statement select = reader_->Prepare(
      "SELECT v.kind, v.name, c.content, c.hash FROM versions v JOIN contents c ON c.id = "
      "v.content "
      "WHERE v.from_revision <= ?1 AND (v.to_revision IS NULL OR v.to_revision > ?1) "
      "ORDER BY v.kind, v.name");
  select.Bind(1, static_cast<int64_t>(info.revision));
  api::ResourceSet set;
  while (true) {
    const absl::StatusOr<bool> row = select.Step();
    if (!row.ok()) return row.status();
    if (!*row) break;
    api::ResourceKey key{std::string(select.Bytes(0)), std::string(select.Bytes(1))};
    absl::StatusOr<std::string> content = sealer_.Open(select.Bytes(2), select.Bytes(3));
    if (!content.ok()) {
      return Damaged(reader_->path(),
                     absl::StrCat(api::ToString(key), " ", content.status().message()));
    }
    absl::StatusOr<api::StoredResourcePtr> stored = api::ParseStored(key, *std::move(content));
    if (!stored.ok()) return Damaged(reader_->path(), std::string(stored.status().message()));
    if (View((*stored)->hash) != select.Bytes(3)) {
      return Damaged(reader_->path(), api::ToString(key) + " does not match its hash");
    }
    set.emplace_hint(set.end(), std::move(key), *std::move(stored));
  }
  if (api::ChecksumOf(set) != info.checksum) {
    return Damaged(reader_->path(),
                   absl::StrCat("revision ", info.revision, " does not match its checksum"));
  }
  return Revision{std::move(info), std::make_shared<const api::ResourceSet>(std::move(set))};
}

absl::StatusOr<Revision> SqliteStore::Load() {
  std::lock_guard lock(reader_mutex_);
  // Both reads see the same state.
  absl::StatusOr<Transaction> transaction = Transaction::Begin(*reader_, "BEGIN");
  if (!transaction.ok()) return transaction.status();
  absl::StatusOr<std::vector<RevisionInfo>> newest = ReadInfos(0, 1);
  if (!newest.ok()) return newest.status();
  return ReadRevision(newest->empty() ? RevisionInfo{} : newest->front());
}

absl::StatusOr<Revision> SqliteStore::LoadRevision(uint64_t revision) {
  std::lock_guard lock(reader_mutex_);
  absl::StatusOr<Transaction> transaction = Transaction::Begin(*reader_, "BEGIN");
  if (!transaction.ok()) return transaction.status();
  const bool representable = revision < static_cast<uint64_t>(INT64_MAX);
  absl::StatusOr<std::vector<RevisionInfo>> found =
      representable ? ReadInfos(revision + 1, 1) : std::vector<RevisionInfo>{};
  if (!found.ok()) return found.status();
  if (found->empty() || found->front().revision != revision) {
    return absl::NotFoundError(absl::StrCat("revision ", revision, " is not stored"));
  }
  return ReadRevision(std::move(found->front()));
}

absl::StatusOr<std::vector<RevisionInfo>> SqliteStore::ListRevisions(uint64_t before,
                                                                     size_t limit) {
  std::lock_guard lock(reader_mutex_);
  const auto largest = static_cast<uint64_t>(INT64_MAX);
  return ReadInfos(std::min(before, largest), std::min<size_t>(limit, largest));
}

absl::Status SqliteStore::WriteInfo(const RevisionInfo& info) {
  Statement insert = writer_->Prepare(absl::StrCat("INSERT INTO revisions (", kInfoColumns,
                                                   ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"));
  insert.Bind(1, static_cast<int64_t>(info.revision))
      .Bind(2, absl::ToUnixNanos(info.created_at))
      .Bind(3, info.author)
      .Bind(4, info.message)
      .Bind(5, info.peer)
      .Bind(6, static_cast<int64_t>(info.created))
      .Bind(7, static_cast<int64_t>(info.updated))
      .Bind(8, static_cast<int64_t>(info.deleted))
      .BindBlob(9, View(info.checksum));
  return insert.Run();
}

// Writes changes with statements that are prepared once.
class ChangeWriter {
 public:
  ChangeWriter(Database& database, const Sealer& sealer, uint64_t revision)
      : database_(database),
        sealer_(sealer),
        revision_(static_cast<int64_t>(revision)),
        end_(database.Prepare("UPDATE versions SET to_revision = ? WHERE kind = ? AND name = ? AND "
                              "to_revision IS NULL")),
        begin_(database.Prepare("INSERT INTO versions (kind, name, from_revision, content) VALUES "
                                "(?, ?, ?, ?)")),
        find_(database.Prepare("SELECT id FROM contents WHERE hash = ?")),
        insert_(database.Prepare("INSERT INTO contents (hash, content) VALUES (?, ?)")) {}

  absl::Status Write(const Change& change) {
    if (change.before != nullptr) {
      end_.Bind(1, revision_).Bind(2, change.key.kind).Bind(3, change.key.name);
      if (absl::Status status = end_.Run(); !status.ok()) return status;
      end_.Reset();
    }
    if (change.after == nullptr) return absl::OkStatus();
    const absl::StatusOr<int64_t> content = ContentId(*change.after);
    if (!content.ok()) return content.status();
    begin_.Bind(1, change.key.kind).Bind(2, change.key.name).Bind(3, revision_).Bind(4, *content);
    absl::Status status = begin_.Run();
    begin_.Reset();
    return status;
  }

 private:
  absl::StatusOr<int64_t> ContentId(const api::StoredResource& resource) {
    find_.BindBlob(1, View(resource.hash));
    const absl::StatusOr<bool> found = find_.Step();
    if (!found.ok()) return found.status();
    const int64_t id = *found ? find_.Integer(0) : 0;
    find_.Reset();
    if (id != 0) return id;
    const std::string sealed = sealer_.Seal(resource.content, View(resource.hash));
    insert_.BindBlob(1, View(resource.hash)).BindBlob(2, sealed);
    if (absl::Status status = insert_.Run(); !status.ok()) return status;
    insert_.Reset();
    return database_.LastInsertId();
  }

  Database& database_;
  const Sealer& sealer_;
  const int64_t revision_;
  Statement end_;
  Statement begin_;
  Statement find_;
  Statement insert_;
};

absl::Status SqliteStore::WriteChanges(uint64_t revision, const std::vector<Change>& changes) {
  ChangeWriter writer(*writer_, sealer_, revision);
  for (const Change& change : changes) {
    if (absl::Status status = writer.Write(change); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status SqliteStore::ForgetOld(uint64_t newest) {
  // Numbers may have gaps, so the oldest revision to keep is looked up, not computed.
  const absl::StatusOr<int64_t> oldest = writer_->QueryInteger(
      absl::StrCat("SELECT revision FROM revisions WHERE revision <= ", newest,
                   " ORDER BY revision DESC LIMIT 1 OFFSET ", keep_revisions_ - 1));
  if (!oldest.ok()) return oldest.status();
  if (*oldest == 0) return absl::OkStatus();
  Statement dead = writer_->Prepare(
      "SELECT kind, name, from_revision, content FROM versions WHERE to_revision <= ?");
  dead.Bind(1, *oldest);
  struct Row {
    std::string kind, name;
    int64_t from, content;
  };
  std::vector<Row> rows;
  while (true) {
    const absl::StatusOr<bool> row = dead.Step();
    if (!row.ok()) return row.status();
    if (!*row) break;
    rows.push_back(
        {std::string(dead.Bytes(0)), std::string(dead.Bytes(1)), dead.Integer(2), dead.Integer(3)});
  }
  Statement erase =
      writer_->Prepare("DELETE FROM versions WHERE kind = ? AND name = ? AND from_revision = ?");
  Statement sweep = writer_->Prepare(
      "DELETE FROM contents WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM versions WHERE content = "
      "?1)");
  for (const Row& row : rows) {
    erase.Bind(1, row.kind).Bind(2, row.name).Bind(3, row.from);
    if (absl::Status status = erase.Run(); !status.ok()) return status;
    erase.Reset();
    sweep.Bind(1, row.content);
    if (absl::Status status = sweep.Run(); !status.ok()) return status;
    sweep.Reset();
  }
  return writer_->Execute(absl::StrCat("DELETE FROM revisions WHERE revision < ", *oldest));
}

absl::Status SqliteStore::Commit(uint64_t previous, const RevisionInfo& info,
                                 const std::vector<Change>& changes) {
  std::lock_guard lock(writer_mutex_);
  absl::StatusOr<Transaction> transaction = Transaction::Begin(*writer_, "BEGIN IMMEDIATE");
  if (!transaction.ok()) return transaction.status();
  const absl::StatusOr<int64_t> newest =
      writer_->QueryInteger("SELECT COALESCE(MAX(revision), 0) FROM revisions");
  if (!newest.ok()) return newest.status();
  if (static_cast<uint64_t>(*newest) != previous || info.revision <= previous ||
      info.revision > static_cast<uint64_t>(INT64_MAX)) {
    return absl::AbortedError(
        absl::StrCat(writer_->path(), ": the newest revision is ", *newest, ", not ", previous));
  }
  if (absl::Status status = WriteInfo(info); !status.ok()) return status;
  if (absl::Status status = WriteChanges(info.revision, changes); !status.ok()) return status;
  if (absl::Status status = ForgetOld(info.revision); !status.ok()) return status;
  return transaction->Commit();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Store>> OpenSqliteStore(const SqliteStoreOptions& options) {
  absl::StatusOr<LockFile> lock = LockFile::Take(options.path);
  if (!lock.ok()) return lock.status();
  // SQLite would create the file readable by all. Its other files follow
  // the rights of this one.
  const int fd = open(options.path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd >= 0) close(fd);
  absl::StatusOr<std::unique_ptr<Database>> writer = Database::Open(options.path);
  if (!writer.ok()) return writer.status();
  absl::StatusOr<Sealer> sealer =
      PrepareSchema(**writer, options.key_file.empty() ? options.path + ".key" : options.key_file);
  if (!sealer.ok()) return sealer.status();
  absl::StatusOr<std::unique_ptr<Database>> reader = Database::Open(options.path);
  if (!reader.ok()) return reader.status();
  if (absl::Status status = PrepareConnection(**reader); !status.ok()) return status;
  return std::make_unique<SqliteStore>(*std::move(lock), *std::move(sealer), *std::move(writer),
                                       *std::move(reader), options.keep_revisions);
}

}  // namespace portico::control
