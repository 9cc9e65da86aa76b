// The device classes in force: the shipped ones, and what operators applied over them. Thread-safe;
// the Store must outlive it.
#pragma once

#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

#include "common/base/status.h"
#include "daemon/fleet/calibration_texts.h"
#include "daemon/fleet/device_class.h"
#include "daemon/store/store.h"

namespace quantfleet::daemon {

class ClassRegistry {
 public:
  // `texts` are those that classes may name; nullptr: names are not checked.
  explicit ClassRegistry(Store& store, const CalibrationTexts* texts = nullptr)
      : store_(store), texts_(texts) {}

  // Brings the shipped classes up to date with this binary. An operator's class of the same name
  // wins.
  absl::Status SeedShipped();
  // Adds or replaces a class. Devices are classified anew at their next check-in.
  absl::StatusOr<v1::DeviceClass> Apply(std::string_view toml);
  // As `tx` reads them, or as an earlier transaction did if nobody has changed them since.
  absl::StatusOr<std::shared_ptr<const std::vector<DeviceClassSpec>>> Specs(const Transaction& tx);

 private:
  Store& store_;
  const CalibrationTexts* const texts_;
  std::mutex mutex_;  // guards specs_; never held over a call of the Store
  std::shared_ptr<const std::vector<DeviceClassSpec>> specs_;  // null: must be read again
  uint64_t generation_ = 0;
};

}  // namespace quantfleet::daemon
