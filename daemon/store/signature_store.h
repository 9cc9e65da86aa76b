// Signed statements, wherever they are stored.
#pragma once

#include <cstdint>
#include <functional>

#include "common/base/status.h"
#include "quantfleet/v1/trust.pb.h"

namespace quantfleet::daemon {

class SignatureStore {
 public:
  virtual ~SignatureStore() = default;
  // `sign` may add signatures to each stored statement about artifacts and assignments, and returns
  // whether it did. Returns to how many it added some. Those that cannot be read are left as they
  // are (Transaction::damaged): with one signature or two, nobody can read them.
  virtual absl::StatusOr<uint64_t> SignAnew(const std::function<bool(v1::Signed&)>& sign) = 0;
};

}  // namespace quantfleet::daemon
