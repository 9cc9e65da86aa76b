// The store in one file: SQLite in its WAL mode, one session, whose turn is one transaction's.
#pragma once

#include <memory>
#include <span>

#include "common/base/file.h"
#include "common/base/status.h"
#include "daemon/store/sql/schema.h"
#include "daemon/store/store.h"

namespace quantfleet::daemon {

// Opens or makes the database and brings its schema up to date; an older one is copied beside
// itself first (DATABASE.vN.bak). FAILED_PRECONDITION when a newer quantfleet wrote it.
absl::StatusOr<std::unique_ptr<Store>> OpenSqliteStore(
    const fs::path& database, std::span<const SchemaStep> steps = SchemaSteps());
// A whole copy of the database at `copy`, which must not exist, also while a daemon has it open.
absl::Status CopySqliteStore(const fs::path& database, const fs::path& copy);

}  // namespace quantfleet::daemon
