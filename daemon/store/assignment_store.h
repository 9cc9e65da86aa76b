// Assignments: what each device is to run, per model.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"
#include "quantfleet/v1/trust.pb.h"

namespace quantfleet::daemon {

struct AssignmentRecord {
  std::string device_id;
  std::string model;
  uint64_t release;
  std::string manifest_digest;  // raw; empty: remove the model
  std::string rollout;
  v1::Signed statement;
};

class AssignmentStore {
 public:
  virtual ~AssignmentStore() = default;

  virtual absl::StatusOr<std::vector<AssignmentRecord>> List(
      std::string_view device_id) const = 0;  // by model
  // Whether the device may download the artifact: it is assigned to it, for any model, or may step
  // down to it.
  virtual absl::StatusOr<bool> IsAssigned(std::string_view device_id,
                                          std::string_view manifest_digest) const = 0;
  // Takes the next release of (device, model), has a statement signed for it and stores that in
  // place of the previous one. Digests are raw; `step_down`: what the device may step down to by
  // itself.
  virtual absl::StatusOr<AssignmentRecord> Assign(
      std::string_view device_id, std::string_view model, std::string_view manifest_digest,
      std::string_view rollout,
      const std::function<absl::StatusOr<v1::Signed>(uint64_t release)>& sign,
      const std::vector<std::string>& step_down = {}) = 0;
};

}  // namespace quantfleet::daemon
