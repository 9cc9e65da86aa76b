// Operators, and the codes with which they log in. Who may what is decided in daemon/operators.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/digest.h"
#include "common/base/status.h"
#include "daemon/store/request_store.h"
#include "quantfleet/v1/types.pb.h"

namespace quantfleet::daemon {

class OperatorStore {
 public:
  virtual ~OperatorStore() = default;

  // An operator's open login code; the record has its end.
  struct Code {
    std::string id;
    Digest secret_hash;
  };
  struct Kept {
    v1::Operator record;
    std::optional<Code> code;
  };
  virtual absl::StatusOr<std::optional<Kept>> Find(std::string_view name) const = 0;
  // The operator that has this key; of several the one that is not revoked.
  virtual absl::StatusOr<std::optional<Kept>> FindByKey(const Digest& public_key) const = 0;
  virtual absl::StatusOr<std::optional<Kept>> FindByCode(std::string_view code_id) const = 0;
  virtual absl::StatusOr<std::vector<v1::Operator>> List() const = 0;  // newest first
  // Adds it, or replaces the one of its name, with its code. Where the request made one before,
  // that one is returned.
  virtual absl::StatusOr<v1::Operator> Create(const Kept& made, const Request& request) = 0;
  // In place of the one of its name, which keeps its place in the list. NOT_FOUND: there is none.
  virtual absl::Status Put(const Kept& changed) = 0;

  // From when on each operator has a record: `now_ms` when it is asked for the first time.
  virtual absl::StatusOr<int64_t> RecordedSince(int64_t now_ms) = 0;
};

}  // namespace quantfleet::daemon
