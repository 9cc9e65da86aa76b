// How far the check of all blobs has come.
#pragma once

#include <optional>

#include "common/base/status.h"
#include "quantfleet/v1/operator.pb.h"

namespace quantfleet::daemon {

class ScrubStore {
 public:
  virtual ~ScrubStore() = default;

  // The one under way, or the last one. A damaged record is as good as none.
  virtual absl::StatusOr<std::optional<v1::Scrub>> Get() const = 0;
  virtual absl::Status Put(const v1::Scrub& scrub) = 0;
};

}  // namespace quantfleet::daemon
