// The store over any database that SOCI speaks to. Private to daemon/store.
#pragma once

#include <memory>

#include "daemon/store/sql/database.h"
#include "daemon/store/store.h"

namespace quantfleet::daemon {

// The schema must be in place.
std::unique_ptr<Store> MakeSqlStore(std::unique_ptr<Database> database);

}  // namespace quantfleet::daemon
