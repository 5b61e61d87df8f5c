// Tables of sqlite_store and what makes a file one of its own.
#ifndef CONTROLPLANE_STORE_SQLITE_SCHEMA_H_
#define CONTROLPLANE_STORE_SQLITE_SCHEMA_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "controlplane/store/sealer.h"
#include "controlplane/store/sqlite_database.h"

namespace portico::control {

// Version of the tables that this program reads and writes; kept in PRAGMA user_version.
//   1: contents as they are
//   2: contents encrypted, `sealing` with a proof of the key
inline constexpr int kSchemaVersion = 2;

// Sets the connection up (WAL, synchronous=FULL), creates the tables in an empty file, brings those
// of older versions up to date as one transaction, and refuses files of other programs, of newer
// versions, damaged ones, and such as were encrypted with another key than that in `key_path`. A
// key file is made where there is nothing encrypted yet. The result opens and seals contents, each
// in the place of its hash.
// Errors: as OpenSqliteStore.
absl::StatusOr<Sealer> PrepareSchema(Database& database, const std::string& key_path);
// The part of it that a second connection needs.
absl::Status PrepareConnection(Database& database);

}  // namespace portico::control

#endif  // CONTROLPLANE_STORE_SQLITE_SCHEMA_H_
