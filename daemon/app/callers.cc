#include "daemon/app/callers.h"

namespace quantfleet::daemon::app {

absl::StatusOr<std::string> Callers::Operator(const Caller& caller, Role least) {
  if (caller.certificate_pem.empty())
    return Unauthenticated("this call needs an operator's credential with at least the role {}",
                           Name(least));
  QF_ASSIGN_OR_RETURN(const CertificateCache::Info info,
                      certificates_.Read(caller.certificate_pem));
  const trust::Subject& subject = info->subject;
  if (subject.kind != trust::Subject::Kind::kOperator)
    return PermissionDenied(
        "this call needs an operator's credential with at least the role {}; a device's "
        "certificate is not enough",
        Name(least));
  if (const auto role = trust::RoleNamed(subject.role); !role || *role < least)
    return PermissionDenied("this call needs the role {}; {} has the role {}", Name(least),
                            subject.id, subject.role);
  return subject.id;
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

absl::Status Callers::OperatorOrDevice(const Transaction& tx,
                                       const trust::CertificateInfo& certificate) {
  if (certificate.subject.kind == trust::Subject::Kind::kOperator) return absl::OkStatus();
  return fleet_.Authenticate(tx, certificate).status();
}

}  // namespace quantfleet::daemon::app
