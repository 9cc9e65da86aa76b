// The audit log: entries are added and, for their age, removed from the front; none is ever
// changed. Each holds the digest of the one before (common/trust/audit_chain.h).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "quantfleet/v1/types.pb.h"

namespace quantfleet::daemon {

class AuditStore {
 public:
  virtual ~AuditStore() = default;

  // Which entries; what is empty or 0 asks for nothing.
  struct Filter {
    std::string caller;
    std::vector<std::string> objects;  // any of them
    int64_t since_ms = 0;              // from the first entry of that time on
    bool oldest_first = false;         // else the newest
  };
  // Up to `limit` beyond the position `after`, in the filter's order; 0: from the beginning.
  virtual absl::StatusOr<std::vector<v1::AuditEntry>> List(const Filter& filter, uint64_t after,
                                                           size_t limit) const = 0;
  // Sets the position, which it returns. The record's time and the rest are the caller's.
  virtual absl::StatusOr<uint64_t> Append(v1::AuditRecord record) = 0;
  // Removes entries that are older, up to the first that is not, and says so in an entry of its own
  // (`trimmed`, by `now_ms`). Returns the last position that was removed, 0 for none.
  virtual absl::StatusOr<uint64_t> Trim(int64_t older_than_ms, int64_t now_ms) = 0;
};

}  // namespace quantfleet::daemon
