// What this device pulled, by day, so that a budget holds over restarts and releases. Durable
// before the bytes are asked for: whatever stops the agent, it never counts too little.
// Thread-safe.
#pragma once

#include <functional>
#include <mutex>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/status.h"
#include "quantfleet/v1/trust.pb.h"

namespace quantfleet::agent {

class DataBudget {
 public:
  // `file`: where it is kept. `clock`: the daemon's time; days are those of UTC.
  DataBudget(FileSystem& files, fs::path file, const Clock& clock)
      : files_(files), file_(std::move(file)), clock_(clock) {}

  // The bytes that are left of the policy's budget, which must be set; none when the record is
  // damaged.
  uint64_t Left(const v1::NetworkPolicy& policy) const;
  absl::Status Spend(uint64_t bytes);
  // Of what was spent today these did not come: the link was cut before.
  absl::Status TakeBack(uint64_t bytes);

 private:
  int64_t Today() const;
  // Today's bytes become what `change` makes of them.
  absl::Status Change(const std::function<uint64_t(uint64_t)>& change);

  FileSystem& files_;
  const fs::path file_;
  const Clock& clock_;
  mutable std::mutex mutex_;  // guards the file
};

}  // namespace quantfleet::agent
