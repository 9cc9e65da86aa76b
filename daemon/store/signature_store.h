// Signed statements, wherever they are kept.
#pragma once

#include <cstdint>
#include <functional>

#include "common/base/status.h"
#include "quantfleet/v1/trust.pb.h"

namespace quantfleet::daemon {

class SignatureStore {
 public:
  virtual ~SignatureStore() = default;
  // `sign` may add to each statement that is kept, of artifacts and assignments; whether it did.
  // How many it added to.
  virtual absl::StatusOr<uint64_t> SignAnew(const std::function<bool(v1::Signed&)>& sign) = 0;
};

}  // namespace quantfleet::daemon
