// Enrollment tokens: the calls of operators.
#pragma once

#include "daemon/app/backend.h"
#include "daemon/app/callers.h"
#include "quantfleet/v1/operator.pb.h"

namespace quantfleet::daemon::app {

class Tokens {
 public:
  Tokens(Backend& backend, Callers& callers) : backend_(backend), callers_(callers) {}

  absl::StatusOr<v1::CreateTokenResponse> Create(const Caller& caller,
                                                 const v1::CreateTokenRequest& request);
  absl::StatusOr<v1::ListTokensResponse> List(const Caller& caller,
                                              const v1::ListTokensRequest& request);
  absl::StatusOr<v1::EnrollmentToken> Revoke(const Caller& caller,
                                             const v1::RevokeTokenRequest& request);

 private:
  Backend& backend_;
  Callers& callers_;
};

}  // namespace quantfleet::daemon::app
