#include "controlplane/store/sqlite_schema.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "controlplane/model/log.h"

namespace portico::control {
namespace {

// "PRTC": tells a store of ours from any other SQLite file.
constexpr int64_t kApplicationId = 0x50525443;

constexpr char kTables[] = R"sql(
CREATE TABLE revisions (
  revision INTEGER PRIMARY KEY,
  created_unix_nanos INTEGER NOT NULL,
  author TEXT NOT NULL,
  message TEXT NOT NULL,
  peer TEXT NOT NULL,
  created INTEGER NOT NULL,
  updated INTEGER NOT NULL,
  deleted INTEGER NOT NULL,
  checksum BLOB NOT NULL
);
CREATE TABLE contents (
  id INTEGER PRIMARY KEY,
  hash BLOB NOT NULL UNIQUE,
  content BLOB NOT NULL
);
CREATE TABLE versions (
  kind TEXT NOT NULL,
  name TEXT NOT NULL,
  from_revision INTEGER NOT NULL,
  -- The first revision without it; NULL while it is current.
  to_revision INTEGER,
  content INTEGER NOT NULL REFERENCES contents (id),
  PRIMARY KEY (kind, name, from_revision)
) WITHOUT ROWID;
CREATE INDEX versions_by_end ON versions (to_revision) WHERE to_revision IS NOT NULL;
CREATE INDEX versions_by_content ON versions (content);
)sql";

// One row. `proof` opens with the key of the store and with no other. `wiped` is 0 while remains of
// contents that were not encrypted may be in unused parts of the file.
constexpr char kSealing[] = R"sql(
CREATE TABLE sealing (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  proof BLOB NOT NULL,
  wiped INTEGER NOT NULL
);
)sql";

constexpr char kProof[] = "portico store";

absl::Status AddProof(Database& database, const Sealer& sealer, bool wiped) {
  if (absl::Status status = database.Execute(kSealing); !status.ok()) return status;
  const std::string proof = sealer.Seal(kProof, kProof);
  Statement insert = database.Prepare("INSERT INTO sealing (id, proof, wiped) VALUES (1, ?, ?)");
  insert.BindBlob(1, proof).Bind(2, int64_t{wiped});
  return insert.Run();
}

absl::Status SetVersion(Database& database) {
  return database.Execute(absl::StrCat("PRAGMA application_id=", kApplicationId,
                                       ";PRAGMA user_version=", kSchemaVersion));
}

absl::Status Create(Database& database, const Sealer& sealer) {
  absl::StatusOr<Transaction> transaction = Transaction::Begin(database, "BEGIN IMMEDIATE");
  if (!transaction.ok()) return transaction.status();
  if (absl::Status status = database.Execute(kTables); !status.ok()) return status;
  if (absl::Status status = AddProof(database, sealer, true); !status.ok()) return status;
  if (absl::Status status = SetVersion(database); !status.ok()) return status;
  return transaction->Commit();
}

// From version 1: all contents in one transaction, so that at any time they are all as they were or
// all encrypted.
absl::Status Encrypt(Database& database, const Sealer& sealer) {
  absl::StatusOr<Transaction> transaction = Transaction::Begin(database, "BEGIN IMMEDIATE");
  if (!transaction.ok()) return transaction.status();
  if (absl::Status status = AddProof(database, sealer, false); !status.ok()) return status;
  Statement next =
      database.Prepare("SELECT id, hash, content FROM contents WHERE id > ? ORDER BY id LIMIT 1");
  Statement update = database.Prepare("UPDATE contents SET content = ? WHERE id = ?");
  int64_t count = 0;
  for (int64_t id = 0;; ++count) {
    next.Bind(1, id);
    const absl::StatusOr<bool> row = next.Step();
    if (!row.ok()) return row.status();
    if (!*row) break;
    id = next.Integer(0);
    const std::string sealed = sealer.Seal(next.Bytes(2), next.Bytes(1));
    next.Reset();
    update.BindBlob(1, sealed).Bind(2, id);
    if (absl::Status status = update.Run(); !status.ok()) return status;
    update.Reset();
  }
  if (absl::Status status = SetVersion(database); !status.ok()) return status;
  if (absl::Status status = transaction->Commit(); !status.ok()) return status;
  LogInfo("store", database.path(), ": encrypted ", count, " contents of an older version");
  return absl::OkStatus();
}

// Writes the file anew without what is unused.
absl::Status Wipe(Database& database) {
  const absl::StatusOr<int64_t> wiped = database.QueryInteger("SELECT wiped FROM sealing");
  if (!wiped.ok()) return wiped.status();
  if (*wiped != 0) return absl::OkStatus();
  return database.Execute("VACUUM; UPDATE sealing SET wiped = 1; PRAGMA wal_checkpoint(TRUNCATE);");
}

absl::Status CheckIntegrity(Database& database) {
  Statement check = database.Prepare("PRAGMA quick_check(1)");
  const absl::StatusOr<bool> row = check.Step();
  if (!row.ok()) return row.status();
  if (*row && check.Bytes(0) != "ok") {
    return ErrorOf(SQLITE_CORRUPT, database.path(), check.Bytes(0));
  }
  return absl::OkStatus();
}

absl::Status CheckProof(Database& database, const Sealer& sealer, const std::string& key_path) {
  Statement select = database.Prepare("SELECT proof FROM sealing");
  const absl::StatusOr<bool> row = select.Step();
  if (!row.ok()) return row.status();
  if (*row && sealer.Open(select.Bytes(0), kProof).ok()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      database.path(), ": was encrypted with another key than the one in ", key_path,
      ": name the right file with --store-key-file, or restore it from where the store was backed "
      "up; nothing was changed"));
}

absl::StatusOr<Sealer> MakeSealer(const Database& database, const std::string& key_path,
                                  bool create) {
  absl::StatusOr<StoreKey> key = ReadStoreKey(key_path, create);
  if (key.status().code() == absl::StatusCode::kNotFound) {
    return absl::FailedPreconditionError(absl::StrCat(
        database.path(), ": is encrypted, and its key file ", key_path,
        " is missing: restore that from where the store was backed up, or name it with "
        "--store-key-file; without it nothing in the store can be read"));
  }
  if (!key.ok()) return key.status();
  return Sealer(*key);
}

}  // namespace

absl::Status PrepareConnection(Database& database) {
  return database.Execute(
      "PRAGMA synchronous=FULL; PRAGMA cache_size=-16384; PRAGMA journal_size_limit=67108864;"
      "PRAGMA secure_delete=ON;");
}

absl::StatusOr<Sealer> PrepareSchema(Database& database, const std::string& key_path) {
  // The first statement that reads the file: a file that is no database is found out here.
  const absl::StatusOr<int64_t> objects =
      database.QueryInteger("SELECT COUNT(*) FROM sqlite_master");
  if (!objects.ok()) return objects.status();
  const absl::StatusOr<int64_t> application = database.QueryInteger("PRAGMA application_id");
  if (!application.ok()) return application.status();
  const absl::StatusOr<int64_t> version = database.QueryInteger("PRAGMA user_version");
  if (!version.ok()) return version.status();

  if (*objects > 0 && *application != kApplicationId) {
    return absl::DataLossError(absl::StrCat(
        database.path(), ": this file is not a Portico store: check --store, or move it away"));
  }
  if (*objects > 0 && *version > kSchemaVersion) {
    return absl::FailedPreconditionError(absl::StrCat(
        database.path(), ": written by a newer Portico (schema ", *version, ", this one reads ",
        kSchemaVersion, "): run that version, or restore a backup made before the upgrade"));
  }
  if (absl::Status status = database.Execute("PRAGMA journal_mode=WAL"); !status.ok())
    return status;
  if (absl::Status status = PrepareConnection(database); !status.ok()) return status;
  const bool is_new = *objects == 0;
  // What is damaged is not touched.
  if (!is_new) {
    if (absl::Status status = CheckIntegrity(database); !status.ok()) return status;
  }
  absl::StatusOr<Sealer> sealer =
      MakeSealer(database, key_path, /*create=*/is_new || *version < kSchemaVersion);
  if (!sealer.ok()) return sealer;
  absl::Status status = is_new                      ? Create(database, *sealer)
                        : *version < kSchemaVersion ? Encrypt(database, *sealer)
                                                    : CheckProof(database, *sealer, key_path);
  if (status.ok()) status = Wipe(database);
  if (!status.ok()) return status;
  return sealer;
}

}  // namespace portico::control
