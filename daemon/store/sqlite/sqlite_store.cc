// SQLite's settings and errors, and the schema's migrations.
#include "daemon/store/sqlite/sqlite_store.h"

#include <soci/soci.h>
#include <soci/sqlite3/soci-sqlite3.h>

#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "daemon/store/sql/database.h"
#include "daemon/store/sql/sql_store.h"

namespace quantfleet::daemon {
namespace {

constexpr const char* kSettings[] = {
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA busy_timeout = 10000",
};

absl::Status StatusOfError(const std::exception& error) {
  const auto* sql_error = dynamic_cast<const soci::soci_error*>(&error);
  // what() would repeat the statement's parameters: they may be secret, and are no help to a
  // caller.
  const std::string message =
      sql_error != nullptr ? sql_error->get_error_message() : std::string(error.what());
  const auto* sqlite = dynamic_cast<const soci::sqlite3_soci_error*>(&error);
  switch (sqlite != nullptr ? sqlite->result() & 0xff : 0) {
    case SQLITE_FULL:
      return ResourceExhausted(
          "the disk of the database is full: free some space and try again ({})", message);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return Unavailable("the database is in use by another process ({})", message);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return DataLoss("the database is damaged; restore it from a backup ({})", message);
    case SQLITE_CONSTRAINT:
      return FailedPrecondition("the database refused a record that contradicts others ({})",
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

struct Connection {
  explicit Connection(const std::string& path)
      : session(soci::sqlite3, "db=\"" + path + "\""), prepared(session) {}
  void Configure() {
    for (const char* setting : kSettings) session << setting;
  }
  soci::session session;
  Prepared prepared;  // of the session: goes first
};

// Writers take turns with one session, as SQLite requires anyway. Each reader has a session of its
// own, and sees what was committed when it began, whatever is written meanwhile.
class SqliteDatabase final : public Database {
 public:
  SqliteDatabase(std::string path, std::unique_ptr<Connection> writer)
      : path_(std::move(path)), writer_(std::move(writer)) {}

  absl::StatusOr<std::unique_ptr<Lease>> Take(bool reads_only) override {
    const std::thread::id me = std::this_thread::get_id();
    std::unique_lock lock(mutex_);
    if (!holders_.insert(me).second)
      return Internal("a transaction was begun inside another one: pass the one that there is");
    std::unique_ptr<Connection> connection;
    const absl::Status taken = Catch([&]() -> absl::Status {
      if (!reads_only) {
        returned_.wait(lock, [this] { return writer_ != nullptr; });
        connection = std::move(writer_);
        return absl::OkStatus();
      }
      returned_.wait(lock, [this] { return !readers_.empty() || made_readers_ < kReaders; });
      if (!readers_.empty()) {
        connection = std::move(readers_.back());
        readers_.pop_back();
        return absl::OkStatus();
      }
      connection = std::make_unique<Connection>(path_);
      connection->Configure();
      connection->session << "PRAGMA query_only = ON";
      ++made_readers_;
      return absl::OkStatus();
    });
    if (taken.ok()) return std::make_unique<Turn>(*this, std::move(connection), reads_only);
    holders_.erase(me);
    return taken;
  }
  absl::Status StatusOf(const std::exception& error) const override { return StatusOfError(error); }

 private:
  static constexpr int kReaders = 4;

  class Turn final : public Lease {
   public:
    Turn(SqliteDatabase& database, std::unique_ptr<Connection> connection, bool reads_only)
        : database_(database), connection_(std::move(connection)), reads_only_(reads_only) {}
    ~Turn() override {
      std::lock_guard lock(database_.mutex_);
      database_.holders_.erase(std::this_thread::get_id());
      if (reads_only_)
        database_.readers_.push_back(std::move(connection_));
      else
        database_.writer_ = std::move(connection_);
      database_.returned_.notify_all();
    }
    soci::session& session() override { return connection_->session; }
    Prepared& prepared() override { return connection_->prepared; }

   private:
    SqliteDatabase& database_;
    std::unique_ptr<Connection> connection_;
    const bool reads_only_;
  };

  const std::string path_;
  std::mutex mutex_;  // guards what follows
  std::condition_variable returned_;
  std::set<std::thread::id> holders_;
  std::unique_ptr<Connection> writer_;  // null: somebody has it
  std::vector<std::unique_ptr<Connection>> readers_;
  int made_readers_ = 0;
};

// What it throws becomes a status.
template <typename Function>
absl::Status CatchErrors(const Function& function) {
  try {
    return function();
  } catch (const std::exception& error) {
    return StatusOfError(error);
  }
}

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
        "{} has schema version {}, but this quantfleetd supports only up to {}: install the newer "
        "version",
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

absl::StatusOr<std::unique_ptr<Store>> OpenSqliteStore(const fs::path& database,
                                                       std::span<const SchemaStep> steps) {
  if (database.string().find('"') != std::string::npos)
    return InvalidArgument("the database's path must not contain a quote: {}", database.string());
  std::unique_ptr<Connection> writer;
  absl::Status status = CatchErrors([&]() -> absl::Status {
    writer = std::make_unique<Connection>(database.string());
    // Hashes of secrets and facts about devices are for the owner only. SQLite's side files take
    // over the mode.
    fs::permissions(database, fs::perms::owner_read | fs::perms::owner_write);
    writer->Configure();
    return Migrate(writer->session, database, steps);
  });
  if (!status.ok()) return Annotate(status, "opening " + database.string());
  return MakeSqlStore(std::make_unique<SqliteDatabase>(database.string(), std::move(writer)));
}

absl::StatusOr<DatabaseState> CheckSqliteStore(FileSystem& files, const Clock& clock,
                                               const fs::path& database, Duration at_most) {
  if (!files.Exists(database)) return DatabaseState::kEmpty;
  {
    QF_ASSIGN_OR_RETURN(const auto file, files.Open(database, OpenMode::kRead));
    QF_ASSIGN_OR_RETURN(const uint64_t size, file->Size());
    if (size == 0) return DatabaseState::kEmpty;
  }
  struct Limit {
    const Clock& clock;
    const Duration end;
    bool over = false;
  } limit{clock, clock.Monotonic() + at_most};
  int tables = 0;
  std::string found;
  const absl::Status read = CatchErrors([&]() -> absl::Status {
    soci::session sql(soci::sqlite3, "db=\"" + database.string() + "\"");
    sql << "SELECT COUNT(*) FROM sqlite_schema", soci::into(tables);
    constexpr int kSteps = 1000;  // of SQLite's machine: well below a millisecond
    sqlite_api::sqlite3_progress_handler(
        static_cast<soci::sqlite3_session_backend*>(sql.get_backend())->conn_, kSteps,
        [](void* context) -> int {
          auto& now = *static_cast<Limit*>(context);
          now.over = now.clock.Monotonic() >= now.end;
          return now.over ? 1 : 0;
        },
        &limit);
    sql << "PRAGMA quick_check(1)", soci::into(found);
    return absl::OkStatus();
  });
  if (limit.over) return DatabaseState::kPartial;
  QF_RETURN_IF_ERROR(read);
  if (found != "ok") return DataLoss("the database is damaged ({})", found);
  return tables == 0 ? DatabaseState::kEmpty : DatabaseState::kWhole;
}

absl::Status CopySqliteStore(const fs::path& database, const fs::path& copy) {
  if (!fs::exists(database)) return NotFound("there is no database {}", database.string());
  const absl::Status status = CatchErrors([&]() -> absl::Status {
    soci::session sql(soci::sqlite3, "db=\"" + database.string() + "\"");
    const std::string path = copy.string();
    sql << "VACUUM INTO :copy", soci::use(path);
    fs::permissions(copy, fs::perms::owner_read | fs::perms::owner_write);
    return absl::OkStatus();
  });
  return Annotate(status, "copying " + database.string());
}

}  // namespace quantfleet::daemon
