// The store in one file: SQLite in WAL mode, with one session, which one transaction uses at a
// time.
#pragma once

#include <memory>
#include <span>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/status.h"
#include "daemon/store/sql/schema.h"
#include "daemon/store/store.h"

namespace quantfleet::daemon {

// Opens or creates the database and brings its schema up to date; a copy of an older one is made
// first (DATABASE.vN.bak). FAILED_PRECONDITION when a newer quantfleet wrote it.
absl::StatusOr<std::unique_ptr<Store>> OpenSqliteStore(
    const fs::path& database, std::span<const SchemaStep> steps = SchemaSteps());
enum class DatabaseState {
  kEmpty,    // absent, or nothing was ever created in it
  kWhole,    // read to its end without finding damage
  kPartial,  // the same, but there was no time for all of it
};
// Reads the database for damage: each page once, and then rows for at most `at_most`. DATA_LOSS
// says what is wrong. Nobody else may have it open.
absl::StatusOr<DatabaseState> CheckSqliteStore(FileSystem& files, const Clock& clock,
                                               const fs::path& database, Duration at_most);
// Copies the whole database to `copy`, which must not exist, even while a daemon has it open.
absl::Status CopySqliteStore(const fs::path& database, const fs::path& copy);

}  // namespace quantfleet::daemon
