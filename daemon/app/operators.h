// Operators: the calls of operators about each other, and logging in.
#pragma once

#include "daemon/app/backend.h"
#include "daemon/app/callers.h"
#include "quantfleet/v1/operator.pb.h"

namespace quantfleet::daemon::app {

class OperatorCalls {
 public:
  OperatorCalls(Backend& backend, Callers& callers) : backend_(backend), callers_(callers) {}

  absl::StatusOr<v1::OperatorWithCode> Create(const Caller& caller,
                                              const v1::CreateOperatorRequest& request);
  absl::StatusOr<v1::ListOperatorsResponse> List(const Caller& caller,
                                                 const v1::ListOperatorsRequest& request);
  absl::StatusOr<v1::Operator> Get(const Caller& caller, const v1::GetOperatorRequest& request);
  absl::StatusOr<v1::Operator> Revoke(const Caller& caller,
                                      const v1::RevokeOperatorRequest& request);
  absl::StatusOr<v1::OperatorWithCode> Rotate(const Caller& caller,
                                              const v1::RotateOperatorRequest& request);
  // Open to callers without a certificate.
  absl::StatusOr<v1::LoginResponse> Login(const Caller& caller, const v1::LoginRequest& request);

 private:
  Backend& backend_;
  Callers& callers_;
};

}  // namespace quantfleet::daemon::app
