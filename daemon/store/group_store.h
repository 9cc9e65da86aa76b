// Groups of devices as they are kept.
#pragma once

#include <string_view>
#include <vector>

#include "common/base/status.h"
#include "quantfleet/v1/types.pb.h"

namespace quantfleet::daemon {

class GroupStore {
 public:
  virtual ~GroupStore() = default;
  virtual absl::StatusOr<v1::DeviceGroup> Get(std::string_view name) const = 0;
  virtual absl::StatusOr<std::vector<v1::DeviceGroup>> List() const = 0;  // by name
  virtual absl::Status Put(const v1::DeviceGroup& group) = 0;  // in place of the one of that name
  // Returns the group. FAILED_PRECONDITION names an unfinished rollout that uses it.
  virtual absl::StatusOr<v1::DeviceGroup> Delete(std::string_view name) = 0;
};

}  // namespace quantfleet::daemon
