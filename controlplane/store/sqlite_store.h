// The default store: one SQLite file.
#ifndef CONTROLPLANE_STORE_SQLITE_STORE_H_
#define CONTROLPLANE_STORE_SQLITE_STORE_H_

#include <memory>
#include <string>

#include "controlplane/store/store.h"

namespace portico::control {

// One writer and one reader on a file in WAL mode with synchronous=FULL. Every row of `versions`
// says from which revision to which one a resource had which content, so a commit writes as much as
// it changes, and any kept revision can be read. Equal contents are kept once, encrypted with
// the key in the key file. PATH.lock keeps a second control plane away.
struct SqliteStoreOptions {
  std::string path;
  // Older revisions are forgotten as new ones come. At least 1.
  size_t keep_revisions = 1000;
  // See store_key.h; made with a new store. Empty: `path` with ".key" behind it.
  std::string key_file = {};
};

// Opens or creates the store and checks its integrity.
// Errors: DataLoss when the file is damaged or no store; FailedPrecondition when a newer Portico
// wrote it, or when its key file is missing or another one; Unavailable when it cannot be opened,
// or another control plane has it. The message names the file and says what to do.
absl::StatusOr<std::unique_ptr<Store>> OpenSqliteStore(const SqliteStoreOptions& options);

}  // namespace portico::control

#endif  // CONTROLPLANE_STORE_SQLITE_STORE_H_
