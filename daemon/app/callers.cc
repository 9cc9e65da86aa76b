#include "daemon/app/callers.h"

namespace quantfleet::daemon::app {

absl::StatusOr<v1::Operator> Callers::OperatorRecord(const Caller& caller, Role least) {
  if (caller.certificate_pem.empty())
    return Unauthenticated("this call needs an operator's credential with at least the role {}",
                           Name(least));
  QF_ASSIGN_OR_RETURN(const CertificateCache::Info info,
                      certificates_.Read(caller.certificate_pem));
  if (info->subject.kind != trust::Subject::Kind::kOperator)
    return PermissionDenied(
        "this call needs an operator's credential with at least the role {}; a device's "
        "certificate is not enough",
        Name(least));
  QF_ASSIGN_OR_RETURN(v1::Operator record, operators_.Authenticate(*info));
  if (const auto role = trust::RoleNamed(record.role()); !role || *role < least)
    return PermissionDenied("this call needs the role {}; {} has the role {}", Name(least),
                            record.name(), record.role());
  return record;
}

absl::StatusOr<std::string> Callers::Operator(const Caller& caller, Role least) {
  QF_ASSIGN_OR_RETURN(v1::Operator record, OperatorRecord(caller, least));
  return std::move(*record.mutable_name());
}

absl::StatusOr<CertificateCache::Info> Callers::DeviceCertificate(const Caller& caller) {
  if (caller.certificate_pem.empty())
    return Unauthenticated("this call needs a device's certificate: enroll first");
  QF_ASSIGN_OR_RETURN(const CertificateCache::Info info,
                      certificates_.Read(caller.certificate_pem));
  if (info->subject.kind == trust::Subject::Kind::kOperator)
    return PermissionDenied("this call is only for devices; {} is an operator", info->subject.id);
  return info;
}

absl::Status Callers::OperatorOrDevice(Store& store, const trust::CertificateInfo& certificate) {
  if (certificate.subject.kind == trust::Subject::Kind::kOperator)
    return operators_.Authenticate(certificate).status();
  return store.Read(
      [&](const Transaction& tx) { return fleet_.Authenticate(tx, certificate).status(); });
}

Callers::Known Callers::WhoIs(const Caller& caller) {
  if (caller.certificate_pem.empty()) return {};
  const auto info = certificates_.Read(caller.certificate_pem);
  if (!info.ok()) return {};
  const trust::Subject& subject = (*info)->subject;
  if (subject.kind != trust::Subject::Kind::kOperator) return {"devices/" + subject.id, ""};
  const auto record = operators_.Authenticate(**info);
  return {"operators/" + subject.id, record.ok() ? record->role() : ""};
}

}  // namespace quantfleet::daemon::app
