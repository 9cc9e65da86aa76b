// What devices call.
#include <set>

#include "common/trust/statement.h"
#include "daemon/grpc/services.h"
#include "pipeline/artifact/memory.h"
#include "quantfleet/v1/device.grpc.pb.h"
#include "quantfleet/v1/manifest.pb.h"

namespace quantfleet::daemon {
namespace {

using Context = grpc::CallbackServerContext;
using Reactor = grpc::ServerUnaryReactor;

constexpr size_t kMaxIdSize = 64;

// Agents that know no ContextPolicy run the short ones, and compare with whatever golden answers
// are the newest.
bool IsOfLongContext(const v1::Signed& statement, const v1::Memory& memory) {
  v1::EvaluationStatement evaluation;
  return statement.payload_type() == trust::kEvaluationStatementType &&
         evaluation.ParseFromString(statement.payload()) &&
         pipeline::IsLong(memory, evaluation.context());
}

class DeviceCalls final : public v1::DeviceService::CallbackService {
 public:
  DeviceCalls(Backend& backend, Dispatcher& dispatcher)
      : backend_(backend), dispatcher_(dispatcher) {}

  Reactor* Enroll(Context* context, const v1::EnrollRequest* request,
                  v1::Identity* answer) override {
    return dispatcher_.Run(context, Access::kAnyone, [=, this](const Caller&) {
      Fleet::Applicant applicant{
          request->token(), request->csr_pem(), request->facts(), request->agent_version(), {}, {}};
      if (!request->nonce().empty() || !request->proof().empty())
        applicant.proof = {request->nonce(), request->proof()};
      if (const v1::CustomerProof& customer = request->customer(); request->has_customer())
        applicant.customer = {customer.certificate_pem(), customer.nonce(), customer.proof()};
      return FillIdentity(answer, backend_.fleet.Enroll(applicant));
    });
  }
  Reactor* GetChallenge(Context* context, const v1::GetChallengeRequest* request,
                        v1::Challenge* answer) override {
    return dispatcher_.Run(context, Access::kAnyone, [=, this](const Caller&) -> absl::Status {
      if (request->device_id().size() > kMaxIdSize) return InvalidArgument("device_id is too long");
      answer->set_nonce(backend_.fleet.MakeChallenge(request->device_id()));
      answer->set_server_time_ms(Now());
      return absl::OkStatus();
    });
  }
  Reactor* Renew(Context* context, const v1::RenewRequest* request, v1::Identity* answer) override {
    return dispatcher_.Run(context, Access::kAnyone, [=, this](const Caller&) {
      AddTrustRoots(request->trust_root_version(), *answer->mutable_trust_roots());
      return FillIdentity(
          answer, backend_.fleet.Renew(request->device_id(), request->csr_pem(), request->nonce(),
                                       request->proof(), request->trust_root_version()));
    });
  }
  Reactor* CheckIn(Context* context, const v1::CheckInRequest* request,
                   v1::CheckInResponse* answer) override {
    return dispatcher_.Run(context, Access::kDevice, [=, this](const Caller& caller) {
      return AnswerCheckIn(caller.device.id(), *request, answer);
    });
  }
  Reactor* GetArtifact(Context* context, const v1::GetDeviceArtifactRequest* request,
                       v1::DeviceArtifact* answer) override {
    return dispatcher_.Run(context, Access::kDevice, [=, this](const Caller& caller) {
      return FillArtifact(caller.device.id(), request->manifest_digest(), answer);
    });
  }

 private:
  int64_t Now() const { return ToUnixMillis(backend_.clock.Now()); }

  absl::Status FillIdentity(v1::Identity* answer, absl::StatusOr<Fleet::Identity> identity) {
    QF_RETURN_IF_ERROR(identity.status());
    answer->set_device_id(std::move(identity->device_id));
    answer->set_certificate_pem(std::move(identity->certificate_pem));
    answer->set_device_class(std::move(identity->device_class));
    *answer->mutable_trust_root() = backend_.authority.trust_root();
    answer->set_blob_endpoint(backend_.blob_endpoint);
    answer->set_server_time_ms(Now());
    return absl::OkStatus();
  }

  // 0: an agent that does not say which one it holds, and reads none of these.
  void AddTrustRoots(uint32_t held, google::protobuf::RepeatedPtrField<v1::Signed>& out) const {
    if (held == 0) return;
    for (v1::Signed& root : backend_.authority.TrustRootsAfter(held)) *out.Add() = std::move(root);
  }

  absl::Status AnswerCheckIn(const std::string& device_id, const v1::CheckInRequest& request,
                             v1::CheckInResponse* answer) {
    const std::vector<v1::ModelStatus> models(request.models().begin(), request.models().end());
    v1::Device device;
    std::vector<AssignmentRecord> assignments;
    // What a device reports and what follows from it are one commit.
    QF_RETURN_IF_ERROR(backend_.store.Write([&](Transaction& tx) -> absl::Status {
      QF_ASSIGN_OR_RETURN(
          device, backend_.fleet.CheckIn(tx, device_id, request.agent_version(),
                                         request.has_facts() ? &request.facts() : nullptr, models,
                                         request.trust_root_version()));
      QF_RETURN_IF_ERROR(backend_.rollouts.Report(tx, device_id, models));
      QF_ASSIGN_OR_RETURN(assignments, tx.assignments().List(device_id));
      return absl::OkStatus();
    }));
    ++backend_.fleet.counters().check_ins;
    for (AssignmentRecord& assignment : assignments)
      *answer->add_assignments() = std::move(assignment.statement);
    AddTrustRoots(request.trust_root_version(), *answer->mutable_trust_roots());
    if (!answer->trust_roots().empty())
      *answer->mutable_trust_root() = backend_.authority.signed_trust_root();
    answer->set_server_time_ms(Now());
    answer->set_next_check_in_ms(backend_.fleet.check_in().count());
    answer->set_device_class(device.device_class());
    answer->set_blob_endpoint(backend_.blob_endpoint);
    return absl::OkStatus();
  }

  absl::Status FillArtifact(const std::string& device_id, const std::string& raw_digest,
                            v1::DeviceArtifact* answer) {
    const auto digest = Digest::FromRaw(raw_digest);
    if (!digest.ok()) return InvalidArgument("manifest_digest must have 32 bytes");
    v1::Device device;
    ArtifactRecord record;
    QF_RETURN_IF_ERROR(backend_.store.Read([&](const Transaction& tx) -> absl::Status {
      QF_ASSIGN_OR_RETURN(const bool assigned, tx.assignments().IsAssigned(device_id, raw_digest));
      if (!assigned)
        return PermissionDenied("artifact {} is not assigned to device {} (any more)",
                                digest->hex(), device_id);
      QF_ASSIGN_OR_RETURN(record, tx.artifacts().Get("artifacts/" + digest->hex()));
      QF_ASSIGN_OR_RETURN(device, tx.devices().Get(device_id));
      return absl::OkStatus();
    }));
    v1::Manifest manifest;
    if (!manifest.ParseFromString(record.manifest))
      return DataLoss("the manifest of {} is damaged", record.artifact.name());
    std::set<std::string> seen;
    for (const v1::ArtifactFile& file : manifest.files()) {
      for (const v1::Chunk& chunk : file.chunks()) {
        if (!seen.insert(chunk.digest()).second) continue;
        QF_ASSIGN_OR_RETURN(const Digest chunk_digest, Digest::FromRaw(chunk.digest()));
        QF_ASSIGN_OR_RETURN(const auto stored, backend_.blobs.Stat(chunk_digest));
        v1::StoredChunk& out = *answer->add_stored();
        out.set_digest(chunk.digest());
        out.set_encoding(std::string(pipeline::Name(stored.encoding)));
        out.set_stored_size(stored.stored_size);
      }
    }
    answer->set_manifest(std::move(record.manifest));
    for (v1::Signed& statement : record.statements)
      if (device.facts().kv_types_size() > 0 ||
          !IsOfLongContext(statement, pipeline::MemoryOf(manifest)))
        *answer->add_statements() = std::move(statement);
    return absl::OkStatus();
  }

  Backend& backend_;
  Dispatcher& dispatcher_;
};

}  // namespace

void AddDeviceService(Backend& backend, Dispatcher& dispatcher, Services& services) {
  services.push_back(std::make_unique<DeviceCalls>(backend, dispatcher));
}

}  // namespace quantfleet::daemon
