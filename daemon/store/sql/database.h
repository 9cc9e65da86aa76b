// Where databases differ, seen from the SQL that is written once: how sessions are obtained and
// shared, how a transaction begins, what an error means. Private to daemon/store.
#pragma once

#include <soci/soci.h>

#include <exception>
#include <memory>

#include "common/base/status.h"
#include "daemon/store/sql/prepared.h"

namespace quantfleet::daemon {

class Database {
 public:
  virtual ~Database() = default;

  // A session for one transaction; returned when it is destroyed, on the thread that took it.
  class Lease {
   public:
    virtual ~Lease() = default;
    virtual soci::session& session() = 0;
    virtual Prepared& prepared() = 0;  // of that session
  };
  // INTERNAL: this thread has one already; transactions do not nest.
  virtual absl::StatusOr<std::unique_ptr<Lease>> Take(bool reads_only) = 0;
  virtual void Begin(soci::session& sql, bool reads_only) { (void)reads_only, sql.begin(); }
  // The status for an exception of SOCI, or any other. ABORTED: another transaction won the race
  // for a row, and this one's body must be run again.
  virtual absl::Status StatusOf(const std::exception& error) const = 0;

  // Runs a function that returns a status; what it throws becomes one.
  template <typename Function>
  absl::Status Catch(Function&& function) const {
    try {
      return function();
    } catch (const std::exception& error) {
      return StatusOf(error);
    }
  }
};

}  // namespace quantfleet::daemon
