// Device classes as they are kept.
#pragma once

#include <string_view>
#include <vector>

#include "common/base/status.h"
#include "quantfleet/v1/types.pb.h"

namespace quantfleet::daemon {

class ClassStore {
 public:
  virtual ~ClassStore() = default;
  virtual absl::StatusOr<v1::DeviceClass> Get(std::string_view name) const = 0;
  virtual absl::StatusOr<std::vector<v1::DeviceClass>> List() const = 0;  // by name
  virtual absl::Status Put(const v1::DeviceClass& device_class) = 0;      // in place of that name's
  virtual absl::Status Delete(std::string_view name) = 0;                 // absent is OK
};

}  // namespace quantfleet::daemon
