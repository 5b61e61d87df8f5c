#include "controlplane/store/sqlite_schema.h"

#include <string>

#include "absl/strings/str_cat.h"

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

}  // namespace

absl::Status PrepareConnection(Database& database) {
  return database.Execute(
      "PRAGMA synchronous=FULL; PRAGMA cache_size=-16384; PRAGMA journal_size_limit=67108864;");
}

absl::Status PrepareSchema(Database& database) {
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
  if (*objects == 0) {
    return database.Execute(absl::StrCat("BEGIN IMMEDIATE;", kTables,
                                         "PRAGMA application_id=", kApplicationId,
                                         ";PRAGMA user_version=", kSchemaVersion, ";COMMIT;"));
  }
  Statement check = database.Prepare("PRAGMA quick_check(1)");
  const absl::StatusOr<bool> row = check.Step();
  if (!row.ok()) return row.status();
  if (*row && check.Bytes(0) != "ok") {
    return ErrorOf(SQLITE_CORRUPT, database.path(), check.Bytes(0));
  }
  return absl::OkStatus();
}

}  // namespace portico::control
