// The digests that make a chain of the audit log, and the check of such a chain: by the daemon that
// makes it, and by whoever has its entries. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "common/base/digest.h"
#include "common/base/status.h"
#include "quantfleet/v1/types.pb.h"

namespace quantfleet::trust {

// What stands before the first entry.
inline Digest AuditChainStart() { return Digest{}; }
// SHA-256 over the digest before and the bytes of the record.
Digest AuditDigest(const Digest& previous, std::string_view record);

// Takes the entries of a log, oldest first and without gaps, one by one.
class AuditChainCheck {
 public:
  // DATA_LOSS names the position and what is wrong with it: the digest of its record is another, it
  // does not follow the one before, or its decoded form says something else.
  absl::Status Add(const v1::AuditEntry& entry);
  // After the last one. DATA_LOSS: the first entries are missing, and none says that they were
  // removed for their age.
  absl::Status Finish() const;

  uint64_t entries() const { return entries_; }
  uint64_t first() const { return first_; }
  uint64_t last() const { return last_; }
  const Digest& head() const { return head_; }  // of the last entry

 private:
  uint64_t entries_ = 0, first_ = 0, last_ = 0, trimmed_ = 0;
  Digest head_;
};

}  // namespace quantfleet::trust
