#include "daemon/grpc/call.h"

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include "common/net/channel.h"
#include "common/trust/certificate.h"

namespace quantfleet::daemon {
namespace {

int Rank(std::string_view role) {
  if (role == "admin") return 3;
  if (role == "publisher") return 2;
  if (role == "viewer") return 1;
  return 0;
}

std::string_view RoleFor(Access access) {
  switch (access) {
    case Access::kPublisher:
      return "publisher";
    case Access::kAdmin:
      return "admin";
    default:
      return "viewer";
  }
}

}  // namespace

absl::Status Overloaded() {
  return Unavailable("the daemon has too much to do, or is stopping: try again soon");
}

absl::StatusOr<Caller> Dispatcher::Identify(const std::string& certificate_pem, Access access) {
  Caller caller;
  if (access == Access::kAnyone) return caller;
  if (certificate_pem.empty()) {
    if (access == Access::kDevice)
      return Unauthenticated("this call needs a device's certificate: enroll first");
    return Unauthenticated("this call needs an operator's credential with the role {} or above",
                           RoleFor(access));
  }
  QF_ASSIGN_OR_RETURN(const CertificateCache::Info read, certificates_.Read(certificate_pem));
  const trust::CertificateInfo& info = *read;
  if (access == Access::kDevice) {
    if (info.subject.kind == trust::Subject::Kind::kOperator)
      return PermissionDenied("this call is for devices; {} is an operator", info.subject.id);
    QF_ASSIGN_OR_RETURN(caller.device, fleet_.Authenticate(info));
    return caller;
  }
  if (info.subject.kind != trust::Subject::Kind::kOperator)
    return PermissionDenied(
        "this call is for operators with the role {} or above; a device's certificate is not one",
        RoleFor(access));
  if (Rank(info.subject.role) < Rank(RoleFor(access)))
    return PermissionDenied("this call needs the role {}; {} has the role {}", RoleFor(access),
                            info.subject.id, info.subject.role);
  caller.operator_name = info.subject.id;
  return caller;
}

absl::StatusOr<Caller> Dispatcher::Identify(const grpc::ServerContextBase& context, Access access) {
  return Identify(net::PeerCertificate(context), access);
}

grpc::ServerUnaryReactor* Dispatcher::RunOn(WorkerPool& pool, grpc::CallbackServerContext* context,
                                            Access access, Work work) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const bool posted = pool.Post([this, context, access, reactor, work = std::move(work)] {
    absl::Status status;
    try {
      const auto caller = Identify(*context, access);
      status = caller.ok() ? work(*caller) : caller.status();
    } catch (const std::exception& e) {
      status = Internal("{}", e.what());
    }
    net::AddRetryAfter(*context, status);
    reactor->Finish(net::ToGrpc(status));
  });
  if (!posted) reactor->Finish(net::ToGrpc(Overloaded()));
  return reactor;
}

grpc::ServerUnaryReactor* Dispatcher::Run(grpc::CallbackServerContext* context, Access access,
                                          Work work) {
  return RunOn(quick_, context, access, std::move(work));
}

grpc::ServerUnaryReactor* Dispatcher::RunSlow(grpc::CallbackServerContext* context, Access access,
                                              Work work) {
  return RunOn(slow_, context, access, std::move(work));
}

void Dispatcher::Stop() {
  quick_.Stop();
  slow_.Stop();
}

}  // namespace quantfleet::daemon
