// Requests that created something, for callers whose connection broke.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "common/base/status.h"

namespace quantfleet::daemon {

// A request that creates something. The same method and id again gets the first answer and creates
// nothing. Empty id: not remembered.
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
  // Records that the request created this resource. Calls that create something and take a Request
  // do so themselves.
  virtual absl::Status Record(const Request& request, std::string_view resource) = 0;
};

}  // namespace quantfleet::daemon
