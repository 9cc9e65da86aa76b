#include "daemon/app/tokens.h"

#include "daemon/app/page.h"

namespace quantfleet::daemon::app {

absl::StatusOr<v1::CreateTokenResponse> Tokens::Create(const Caller& caller,
                                                       const v1::CreateTokenRequest& request) {
  QF_RETURN_IF_ERROR(callers_.Operator(caller, Role::kAdmin).status());
  QF_ASSIGN_OR_RETURN(
      Fleet::NewToken made,
      backend_.fleet.CreateToken(
          {request.request_id(), request.description(), request.max_uses(), request.ttl_seconds(),
           Labels(request.labels().begin(), request.labels().end()), request.device_class(),
           request.rate_per_hour(), request.approval()}));
  v1::CreateTokenResponse response;
  *response.mutable_token() = std::move(made.token);
  response.set_secret(std::move(made.secret));
  return response;
}

absl::StatusOr<v1::ListTokensResponse> Tokens::List(const Caller& caller,
                                                    const v1::ListTokensRequest&) {
  QF_RETURN_IF_ERROR(callers_.Operator(caller, Role::kViewer).status());
  v1::ListTokensResponse response;
  QF_RETURN_IF_ERROR(
      FillList(response.mutable_tokens(), backend_.store.Read([&](const Transaction& tx) {
        auto list = tx.tokens().List();
        NameDamaged(tx, response);
        return list;
      })));
  return response;
}

absl::StatusOr<v1::EnrollmentToken> Tokens::Revoke(const Caller& caller,
                                                   const v1::RevokeTokenRequest& request) {
  QF_RETURN_IF_ERROR(callers_.Operator(caller, Role::kAdmin).status());
  return backend_.fleet.RevokeToken(request.id());
}

}  // namespace quantfleet::daemon::app
