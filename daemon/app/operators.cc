#include "daemon/app/operators.h"

#include "daemon/app/page.h"

namespace quantfleet::daemon::app {
namespace {

v1::OperatorWithCode ToProto(Operators::Made made) {
  v1::OperatorWithCode out;
  *out.mutable_operator_() = std::move(made.record);
  out.set_code(std::move(made.code));
  return out;
}

}  // namespace

absl::StatusOr<v1::OperatorWithCode> OperatorCalls::Create(
    const Caller& caller, const v1::CreateOperatorRequest& request) {
  QF_ASSIGN_OR_RETURN(const std::string by, callers_.Operator(caller, Role::kAdmin));
  QF_ASSIGN_OR_RETURN(
      Operators::Made made,
      backend_.operators.Create({request.request_id(), request.name(), request.role(),
                                 request.ttl_seconds(), request.code_ttl_seconds(),
                                 request.csr_pem(), by}));
  return ToProto(std::move(made));
}

absl::StatusOr<v1::ListOperatorsResponse> OperatorCalls::List(const Caller& caller,
                                                              const v1::ListOperatorsRequest&) {
  QF_RETURN_IF_ERROR(callers_.Operator(caller, Role::kViewer).status());
  v1::ListOperatorsResponse response;
  QF_RETURN_IF_ERROR(
      FillList(response.mutable_operators(), backend_.store.Read([&](const Transaction& tx) {
        auto list = tx.operators().List();
        NameDamaged(tx, response);
        return list;
      })));
  return response;
}

absl::StatusOr<v1::Operator> OperatorCalls::Get(const Caller& caller,
                                                const v1::GetOperatorRequest& request) {
  QF_ASSIGN_OR_RETURN(v1::Operator self, callers_.OperatorRecord(caller, Role::kViewer));
  if (request.name().empty()) return self;
  return backend_.store.Read(
      [&](const Transaction& tx) { return Operators::Get(tx, request.name()); });
}

absl::StatusOr<v1::Operator> OperatorCalls::Revoke(const Caller& caller,
                                                   const v1::RevokeOperatorRequest& request) {
  QF_ASSIGN_OR_RETURN(const std::string by, callers_.Operator(caller, Role::kAdmin));
  return backend_.operators.Revoke(request.name(), by);
}

absl::StatusOr<v1::OperatorWithCode> OperatorCalls::Rotate(
    const Caller& caller, const v1::RotateOperatorRequest& request) {
  QF_RETURN_IF_ERROR(callers_.Operator(caller, Role::kAdmin).status());
  QF_ASSIGN_OR_RETURN(
      Operators::Made made,
      backend_.operators.Rotate({request.name(), request.code_ttl_seconds(), request.csr_pem()}));
  return ToProto(std::move(made));
}

absl::StatusOr<v1::LoginResponse> OperatorCalls::Login(const Caller&,
                                                       const v1::LoginRequest& request) {
  QF_ASSIGN_OR_RETURN(Operators::LoggedIn in,
                      backend_.operators.Login(
                          {request.code(), request.csr_pem(), request.nonce(), request.proof()}));
  v1::LoginResponse response;
  *response.mutable_operator_() = std::move(in.record);
  response.set_certificate_pem(std::move(in.certificate_pem));
  response.set_ca_pem(backend_.authority.authorities_pem());
  return response;
}

}  // namespace quantfleet::daemon::app
