// Tables of sqlite_store and what makes a file one of its own.
#ifndef CONTROLPLANE_STORE_SQLITE_SCHEMA_H_
#define CONTROLPLANE_STORE_SQLITE_SCHEMA_H_

#include "absl/status/status.h"
#include "controlplane/store/sqlite_database.h"

namespace portico::control {

// Version of the tables that this program reads and writes; kept in PRAGMA user_version.
inline constexpr int kSchemaVersion = 1;

// Sets the connection up (WAL, synchronous=FULL), creates the tables in an empty file, and refuses
// files of other programs, of newer versions, and damaged ones.
// Errors: as OpenSqliteStore.
absl::Status PrepareSchema(Database& database);
// The part of it that a second connection needs.
absl::Status PrepareConnection(Database& database);

}  // namespace portico::control

#endif  // CONTROLPLANE_STORE_SQLITE_SCHEMA_H_
