// Enrollment tokens and which keys used them. Whether a token admits a device is decided in
// daemon/fleet.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "common/base/digest.h"
#include "common/base/status.h"
#include "daemon/store/request_store.h"
#include "quantfleet/v1/types.pb.h"

namespace quantfleet::daemon {

class TokenStore {
 public:
  virtual ~TokenStore() = default;

  struct Kept {
    v1::EnrollmentToken token;
    Digest secret_hash;
  };
  virtual absl::StatusOr<Kept> GetKept(std::string_view id) const = 0;
  virtual absl::StatusOr<v1::EnrollmentToken> Get(std::string_view id) const = 0;
  virtual absl::StatusOr<std::vector<v1::EnrollmentToken>> List() const = 0;  // newest first
  virtual absl::StatusOr<v1::EnrollmentToken> Create(const v1::EnrollmentToken& token,
                                                     const Digest& secret_hash,
                                                     const Request& request) = 0;
  // Replaces the one with its id. NOT_FOUND: there is none.
  virtual absl::Status Put(const v1::EnrollmentToken& token) = 0;

  // When this key first used it; nullopt: never.
  virtual absl::StatusOr<std::optional<int64_t>> FindUse(std::string_view id,
                                                         const Digest& public_key) const = 0;
  // The time of the latest use but `skip`, of those after `since_ms` and up to `until_ms`; nullopt:
  // there were fewer.
  virtual absl::StatusOr<std::optional<int64_t>> FindUseBefore(std::string_view id,
                                                               int64_t since_ms, int64_t until_ms,
                                                               uint32_t skip) const = 0;
  virtual absl::Status AddUse(std::string_view id, const Digest& public_key, int64_t used_ms) = 0;
};

}  // namespace quantfleet::daemon
