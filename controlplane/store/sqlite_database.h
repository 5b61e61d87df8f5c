// SQLite with C++ lifetimes and statuses. Only sqlite_store uses it.
#ifndef CONTROLPLANE_STORE_SQLITE_DATABASE_H_
#define CONTROLPLANE_STORE_SQLITE_DATABASE_H_

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace portico::control {

// A prepared statement. Bind, Step until it says false, read columns in between. Errors are kept:
// the first one is returned by the next Step.
class Statement {
 public:
  Statement(sqlite3* database, const std::string& path, std::string_view sql);

  // `index` counts from 1. Texts and blobs must live until the next Step has returned false.
  Statement& Bind(int index, int64_t value);
  Statement& Bind(int index, std::string_view text);
  Statement& BindBlob(int index, std::string_view bytes);

  // True when there is a row to read.
  absl::StatusOr<bool> Step();
  // Steps to the end; for statements that give no rows.
  absl::Status Run();
  // For the next round of Bind and Step.
  void Reset();

  // `index` counts from 0. Views live until the next Step.
  int64_t Integer(int index) const;
  std::string_view Bytes(int index) const;

 private:
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  };

  void Note(int code);

  sqlite3* const database_;
  const std::string& path_;
  int error_ = SQLITE_OK;
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
};

// One connection. Not thread-safe.
class Database {
 public:
  // Opens or creates the file. Errors: as ErrorOf.
  static absl::StatusOr<std::unique_ptr<Database>> Open(const std::string& path);

  Statement Prepare(std::string_view sql) { return Statement(database_.get(), path_, sql); }
  // Runs any number of statements without results.
  absl::Status Execute(const std::string& sql);
  // The one integer that `sql` gives.
  absl::StatusOr<int64_t> QueryInteger(std::string_view sql);
  int64_t LastInsertId() const { return sqlite3_last_insert_rowid(database_.get()); }

  const std::string& path() const { return path_; }

 private:
  struct Close {
    void operator()(sqlite3* database) const { sqlite3_close_v2(database); }
  };

  explicit Database(std::string path) : path_(std::move(path)) {}

  const std::string path_;
  std::unique_ptr<sqlite3, Close> database_;
};

// A BEGIN that is rolled back unless committed.
class Transaction {
 public:
  // `sql`: "BEGIN" or "BEGIN IMMEDIATE".
  static absl::StatusOr<Transaction> Begin(Database& database, const std::string& sql);
  Transaction(Transaction&& other) noexcept : database_(std::exchange(other.database_, nullptr)) {}
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction();
  absl::Status Commit();

 private:
  explicit Transaction(Database& database) : database_(&database) {}
  Database* database_;  // Null once there is nothing to roll back.
};

// What an SQLite result code means for an operator: DataLoss for a damaged file or one that is no
// database, Unavailable otherwise, with the file's name and what to do.
absl::Status ErrorOf(int code, const std::string& path, std::string_view detail);

}  // namespace portico::control

#endif  // CONTROLPLANE_STORE_SQLITE_DATABASE_H_
