// Opening the database: SQLite's settings and the schema's migrations. The one file of the store
// that knows SQLite.
#include <soci/soci.h>
#include <soci/sqlite3/soci-sqlite3.h>

#include "daemon/store/sql/schema.h"
#include "daemon/store/sql/sql_error.h"
#include "daemon/store/sql/store.h"

namespace quantfleet::daemon {
namespace {

constexpr const char* kSettings[] = {
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA busy_timeout = 10000",
};

int ReadVersion(soci::session& sql) {
  sql << "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)";
  int version = 0;
  sql << "SELECT COALESCE(MAX(version), 0) FROM schema_version", soci::into(version);
  return version;
}

void BackUp(soci::session& sql, const fs::path& database, int version) {
  const std::string copy = database.string() + ".v" + std::to_string(version) + ".bak";
  fs::remove(copy);  // of an attempt that was cut short
  sql << "VACUUM INTO :copy", soci::use(copy);
}

absl::Status Migrate(soci::session& sql, const fs::path& database,
                     std::span<const SchemaStep> steps) {
  int version = ReadVersion(sql);
  if (version > static_cast<int>(steps.size()))
    return FailedPrecondition(
        "{} has schema version {}, this quantfleetd knows {}: install the newer version",
        database.string(), version, steps.size());
  if (version > 0 && version < static_cast<int>(steps.size())) BackUp(sql, database, version);
  for (; version < static_cast<int>(steps.size()); ++version) {
    soci::transaction transaction(sql);
    for (const char* statement : steps[version]) sql << statement;
    sql << "DELETE FROM schema_version";
    const int next = version + 1;  // named: SOCI reads it after temporaries are gone
    sql << "INSERT INTO schema_version (version) VALUES (:v)", soci::use(next);
    transaction.commit();
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Store>> Store::Open(const fs::path& database,
                                                   std::span<const SchemaStep> steps) {
  if (database.string().find('"') != std::string::npos)
    return InvalidArgument("the database's path must not hold a quote: {}", database.string());
  std::unique_ptr<soci::session> session;
  absl::Status status = CatchSqlErrors([&]() -> absl::Status {
    session = std::make_unique<soci::session>(soci::sqlite3, "db=\"" + database.string() + "\"");
    // Hashes of secrets and facts about devices are the owner's alone. SQLite's side files take the
    // mode over.
    fs::permissions(database, fs::perms::owner_read | fs::perms::owner_write);
    for (const char* setting : kSettings) *session << setting;
    return Migrate(*session, database, steps);
  });
  if (!status.ok()) return Annotate(status, "opening " + database.string());
  return std::unique_ptr<Store>(new Store(std::move(session)));
}

absl::Status Store::Copy(const fs::path& database, const fs::path& copy) {
  if (!fs::exists(database)) return NotFound("there is no database {}", database.string());
  const absl::Status status = CatchSqlErrors([&]() -> absl::Status {
    soci::session sql(soci::sqlite3, "db=\"" + database.string() + "\"");
    const std::string path = copy.string();
    sql << "VACUUM INTO :copy", soci::use(path);
    fs::permissions(copy, fs::perms::owner_read | fs::perms::owner_write);
    return absl::OkStatus();
  });
  return Annotate(status, "copying " + database.string());
}

absl::Status StatusOfSqlError(const std::exception& error) {
  const auto* sql_error = dynamic_cast<const soci::soci_error*>(&error);
  // what() would repeat the statement's parameters: they may be secret, and are no help to a
  // caller.
  const std::string message =
      sql_error != nullptr ? sql_error->get_error_message() : std::string(error.what());
  const auto* sqlite = dynamic_cast<const soci::sqlite3_soci_error*>(&error);
  switch (sqlite != nullptr ? sqlite->result() & 0xff : 0) {
    case SQLITE_FULL:
      return ResourceExhausted("the database's disk is full: make space and try again ({})",
                               message);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return Unavailable("the database is in use by another process ({})", message);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return DataLoss("the database is damaged; restore it from a backup ({})", message);
    case SQLITE_CONSTRAINT:
      return FailedPrecondition("the database refuses a record that contradicts others ({})",
                                message);
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_IOERR:
      return Unavailable(
          "the database cannot be read or written; check the disk and the file's owner ({})",
          message);
    default:
      return Internal("database: {}", message);
  }
}

}  // namespace quantfleet::daemon
