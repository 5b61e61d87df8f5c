#include "controlplane/store/sqlite_database.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace portico::control {
namespace {

// How long a lock that somebody else holds is waited for.
constexpr int kBusyTimeoutMs = 2000;

}  // namespace

absl::Status ErrorOf(int code, const std::string& path, std::string_view detail) {
  const std::string what =
      absl::StrCat(path, ": ", std::string(detail), " (SQLite error ", code, ")");
  switch (code & 0xff) {
    case SQLITE_CORRUPT:
      return absl::DataLossError(absl::StrCat(
          what,
          ": the store is damaged: move it away and restore a backup, or start with an empty "
          "store and apply the configuration again"));
    case SQLITE_NOTADB:
      return absl::DataLossError(
          absl::StrCat(what, ": this file is not a Portico store: check --store, or move it away"));
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return absl::UnavailableError(
          absl::StrCat(what, ": another program holds the store: end it and try again"));
    case SQLITE_FULL:
      return absl::UnavailableError(absl::StrCat(what, ": the disk is full: make room"));
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return absl::UnavailableError(
          absl::StrCat(what,
                       ": the store cannot be written: check the rights of the file and of its "
                       "folder"));
    case SQLITE_CANTOPEN:
      return absl::UnavailableError(
          absl::StrCat(what,
                       ": the store cannot be opened: check that the folder exists and may be "
                       "written"));
    default:
      return absl::UnavailableError(absl::StrCat(what, ": check the disk"));
  }
}

Statement::Statement(sqlite3* database, const std::string& path, std::string_view sql)
    : database_(database), path_(path) {
  sqlite3_stmt* statement = nullptr;
  Note(sqlite3_prepare_v2(database, sql.data(), static_cast<int>(sql.size()), &statement, nullptr));
  statement_.reset(statement);
}

void Statement::Note(int code) {
  if (error_ == SQLITE_OK && code != SQLITE_OK) error_ = code;
}

Statement& Statement::Bind(int index, int64_t value) {
  Note(sqlite3_bind_int64(statement_.get(), index, value));
  return *this;
}

Statement& Statement::Bind(int index, std::string_view text) {
  // A null pointer would bind NULL.
  const char* data = text.data() == nullptr ? "" : text.data();
  Note(sqlite3_bind_text64(statement_.get(), index, data, text.size(), SQLITE_STATIC, SQLITE_UTF8));
  return *this;
}

Statement& Statement::BindBlob(int index, std::string_view bytes) {
  const char* data = bytes.data() == nullptr ? "" : bytes.data();
  Note(sqlite3_bind_blob64(statement_.get(), index, data, bytes.size(), SQLITE_STATIC));
  return *this;
}

absl::StatusOr<bool> Statement::Step() {
  if (error_ == SQLITE_OK) {
    const int code = sqlite3_step(statement_.get());
    if (code == SQLITE_ROW) return true;
    if (code == SQLITE_DONE) return false;
    Note(code);
  }
  return ErrorOf(error_, path_, sqlite3_errmsg(database_));
}

absl::Status Statement::Run() {
  while (true) {
    const absl::StatusOr<bool> row = Step();
    if (!row.ok()) return row.status();
    if (!*row) return absl::OkStatus();
  }
}

void Statement::Reset() {
  // Returns the error of the last step, which Step has already reported.
  sqlite3_reset(statement_.get());
  sqlite3_clear_bindings(statement_.get());
}

int64_t Statement::Integer(int index) const {
  return sqlite3_column_int64(statement_.get(), index);
}

std::string_view Statement::Bytes(int index) const {
  const void* data = sqlite3_column_blob(statement_.get(), index);
  const int size = sqlite3_column_bytes(statement_.get(), index);
  if (data == nullptr) return {};
  return {static_cast<const char*>(data), static_cast<size_t>(size)};
}

absl::StatusOr<std::unique_ptr<Database>> Database::Open(const std::string& path) {
  std::unique_ptr<Database> database(new Database(path));  // owned: the constructor is private.
  sqlite3* handle = nullptr;
  const int code =
      sqlite3_open_v2(path.c_str(), &handle,
                      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
  // A handle exists even after most errors, and must be closed.
  database->database_.reset(handle);
  if (code != SQLITE_OK) {
    return ErrorOf(code, path, handle == nullptr ? "out of memory" : sqlite3_errmsg(handle));
  }
  sqlite3_extended_result_codes(handle, 1);
  sqlite3_busy_timeout(handle, kBusyTimeoutMs);
  return database;
}

absl::Status Database::Execute(const std::string& sql) {
  const int code = sqlite3_exec(database_.get(), sql.c_str(), nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return ErrorOf(code, path_, sqlite3_errmsg(database_.get()));
  return absl::OkStatus();
}

absl::StatusOr<int64_t> Database::QueryInteger(std::string_view sql) {
  Statement statement = Prepare(sql);
  const absl::StatusOr<bool> row = statement.Step();
  if (!row.ok()) return row.status();
  return *row ? statement.Integer(0) : 0;
}

absl::StatusOr<Transaction> Transaction::Begin(Database& database, const std::string& sql) {
  if (absl::Status status = database.Execute(sql); !status.ok()) return status;
  return Transaction(database);
}

Transaction::~Transaction() {
  // An error here means that SQLite has rolled back by itself.
  if (database_ != nullptr) database_->Execute("ROLLBACK").IgnoreError();
}

absl::Status Transaction::Commit() {
  absl::Status status = database_->Execute("COMMIT");
  if (status.ok()) database_ = nullptr;
  return status;
}

}  // namespace portico::control
