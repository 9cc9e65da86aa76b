// Requests that made something, for callers whose connection broke.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "common/base/status.h"

namespace quantfleet::daemon {

// The request that creates something. The same method and id again: the first answer, nothing new.
// id empty: no memory.
struct Request {
  std::string method;  // "SubmitJob"
  std::string id;
};

inline constexpr size_t kMaxRequestIdBytes = 256;
// The last so many are remembered: a caller whose connection broke asks again within minutes.
inline constexpr size_t kKeptRequests = 10'000;

class RequestStore {
 public:
  virtual ~RequestStore() = default;
  // The resource that this request made, if it was here before and is still remembered.
  // INVALID_ARGUMENT: the id is too long.
  virtual absl::StatusOr<std::optional<std::string>> Find(const Request& request) const = 0;
  // It made this resource. What creates something and takes a Request does so itself.
  virtual absl::Status Record(const Request& request, std::string_view resource) = 0;
};

}  // namespace quantfleet::daemon
