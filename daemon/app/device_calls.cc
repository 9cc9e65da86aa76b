#include "daemon/app/device_calls.h"

#include <set>

#include "common/trust/statement.h"
#include "daemon/store/artifact_name.h"
#include "pipeline/artifact/memory.h"
#include "quantfleet/v1/manifest.pb.h"

namespace quantfleet::daemon::app {
namespace {

constexpr size_t kMaxIdSize = 64;

// Agents that do not know ContextPolicy run short contexts, and compare with whatever golden
// answers are the newest.
bool IsOfLongContext(const v1::Signed& statement, const v1::Memory& memory) {
  v1::EvaluationStatement evaluation;
  return statement.payload_type() == trust::kEvaluationStatementType &&
         evaluation.ParseFromString(statement.payload()) &&
         pipeline::IsLong(memory, evaluation.context());
}

// `held`: the version that the device has; 0: an agent that does not say which, and does not read
// these.
void AddTrustRoots(const Authority& authority, uint32_t held,
                   google::protobuf::RepeatedPtrField<v1::Signed>& out) {
  if (held == 0) return;
  for (v1::Signed& root : authority.TrustRootsAfter(held)) *out.Add() = std::move(root);
}

// What a device says when what came was not what it was told to expect.
bool IsOfBadData(const v1::ModelStatus& status) {
  return status.phase() == v1::ModelStatus::FAILED &&
         (status.reason() == "verify_failed" || status.reason() == "artifact_unavailable");
}

// Each chunk once, as it is stored; returns those that are missing or too short.
absl::StatusOr<std::vector<Digest>> AddStored(const v1::Manifest& manifest,
                                              const pipeline::BlobStore& blobs,
                                              v1::DeviceArtifact& out) {
  std::vector<Digest> lacking;
  std::set<std::string> seen;
  for (const v1::ArtifactFile& file : manifest.files()) {
    for (const v1::Chunk& chunk : file.chunks()) {
      if (!seen.insert(chunk.digest()).second) continue;
      QF_ASSIGN_OR_RETURN(const Digest digest, Digest::FromRaw(chunk.digest()));
      const auto stored = blobs.Stat(digest);
      const bool missing = absl::IsNotFound(stored.status());
      if (!missing) QF_RETURN_IF_ERROR(stored.status());
      if (missing ||
          (stored->encoding == pipeline::Encoding::kRaw ? stored->stored_size != chunk.size()
                                                        : stored->stored_size == 0)) {
        lacking.push_back(digest);
        continue;
      }
      v1::StoredChunk& added = *out.add_stored();
      added.set_digest(chunk.digest());
      added.set_encoding(std::string(pipeline::Name(stored->encoding)));
      added.set_stored_size(stored->stored_size);
    }
  }
  return lacking;
}

}  // namespace

absl::StatusOr<v1::Identity> DeviceCalls::ToProto(absl::StatusOr<Fleet::Issued> identity) const {
  QF_RETURN_IF_ERROR(identity.status());
  v1::Identity out;
  out.set_device_id(std::move(identity->device_id));
  out.set_certificate_pem(std::move(identity->certificate_pem));
  out.set_device_class(std::move(identity->device_class));
  *out.mutable_trust_root() = backend_.authority.trust_root();
  out.set_blob_endpoint(backend_.blob_endpoint);
  out.set_fleet_endpoint(backend_.fleet_endpoint);
  out.set_server_time_ms(Now());
  return out;
}

absl::StatusOr<v1::Identity> DeviceCalls::Enroll(const Caller& caller,
                                                 const v1::EnrollRequest& request) {
  Fleet::Applicant applicant{
      request.token(), request.csr_pem(), request.facts(), request.agent_version(), {}, {},
      caller.address};
  if (!request.nonce().empty() || !request.proof().empty())
    applicant.proof = {request.nonce(), request.proof()};
  if (const v1::CustomerProof& customer = request.customer(); request.has_customer())
    applicant.customer = {customer.certificate_pem(), customer.nonce(), customer.proof()};
  return ToProto(backend_.fleet.Enroll(applicant));
}

absl::StatusOr<v1::Challenge> DeviceCalls::GetChallenge(const Caller&,
                                                        const v1::GetChallengeRequest& request) {
  if (request.device_id().size() > kMaxIdSize) return InvalidArgument("device_id is too long");
  v1::Challenge challenge;
  challenge.set_nonce(backend_.fleet.MakeChallenge(request.device_id()));
  challenge.set_server_time_ms(Now());
  return challenge;
}

absl::StatusOr<v1::Identity> DeviceCalls::Renew(const Caller&, const v1::RenewRequest& request) {
  QF_ASSIGN_OR_RETURN(
      v1::Identity identity,
      ToProto(backend_.fleet.Renew(request.device_id(), request.csr_pem(), request.nonce(),
                                   request.proof(), request.trust_root_version())));
  AddTrustRoots(backend_.authority, request.trust_root_version(), *identity.mutable_trust_roots());
  return identity;
}

absl::StatusOr<v1::CheckInResponse> DeviceCalls::CheckIn(const Caller& caller,
                                                         const v1::CheckInRequest& request) {
  QF_ASSIGN_OR_RETURN(const CertificateCache::Info certificate, callers_.DeviceCertificate(caller));
  const std::vector<v1::ModelStatus> models(request.models().begin(), request.models().end());
  v1::Device device;
  std::vector<AssignmentRecord> assignments;
  QF_RETURN_IF_ERROR(backend_.store.Write([&](Transaction& tx) -> absl::Status {
    QF_ASSIGN_OR_RETURN(device, backend_.fleet.Authenticate(tx, *certificate));
    QF_ASSIGN_OR_RETURN(
        device, backend_.fleet.CheckIn(tx, device, request.agent_version(),
                                       request.has_facts() ? &request.facts() : nullptr, models,
                                       request.trust_root_version(), request.unwritten()));
    QF_RETURN_IF_ERROR(backend_.rollouts.Report(tx, device.id(),
                                                {device.models().begin(), device.models().end()}));
    QF_ASSIGN_OR_RETURN(assignments, tx.assignments().List(device.id()));
    return absl::OkStatus();
  }));
  for (const AssignmentRecord& assignment : assignments)
    for (const v1::ModelStatus& status : device.models())
      if (status.model() == assignment.model && status.release() == assignment.release &&
          !assignment.manifest_digest.empty() && IsOfBadData(status))
        backend_.scrubber.SuspectArtifact(ArtifactName(AsBytes(assignment.manifest_digest)));
  ++backend_.fleet.counters().check_ins;
  v1::CheckInResponse response;
  for (AssignmentRecord& assignment : assignments)
    *response.add_assignments() = std::move(assignment.statement);
  AddTrustRoots(backend_.authority, request.trust_root_version(), *response.mutable_trust_roots());
  if (!response.trust_roots().empty())
    *response.mutable_trust_root() = backend_.authority.signed_trust_root();
  response.set_server_time_ms(Now());
  response.set_next_check_in_ms(backend_.fleet.check_in().count());
  response.set_device_class(device.device_class());
  response.set_blob_endpoint(backend_.blob_endpoint);
  response.set_fleet_endpoint(backend_.fleet_endpoint);
  return response;
}

absl::StatusOr<v1::DeviceArtifact> DeviceCalls::GetArtifact(
    const Caller& caller, const v1::GetDeviceArtifactRequest& request) {
  QF_ASSIGN_OR_RETURN(const CertificateCache::Info certificate, callers_.DeviceCertificate(caller));
  v1::Device device;
  ArtifactRecord record;
  const auto digest = Digest::FromRaw(request.manifest_digest());
  const absl::Status found = backend_.store.Read([&](const Transaction& tx) -> absl::Status {
    QF_ASSIGN_OR_RETURN(device, backend_.fleet.Authenticate(tx, *certificate));
    if (!digest.ok()) return InvalidArgument("manifest_digest must have 32 bytes");
    QF_ASSIGN_OR_RETURN(const bool assigned,
                        tx.assignments().IsAssigned(device.id(), request.manifest_digest()));
    if (!assigned)
      return PermissionDenied("artifact {} is not, or no longer, assigned to device {}",
                              digest->hex(), device.id());
    QF_ASSIGN_OR_RETURN(record, tx.artifacts().Get(ArtifactName(digest->span())));
    return absl::OkStatus();
  });
  v1::Manifest manifest;
  if (absl::IsDataLoss(found) || (found.ok() && !manifest.ParseFromString(record.manifest))) {
    backend_.scrubber.SuspectArtifact(ArtifactName(digest->span()));
    return Unavailable("the daemon's manifest of this artifact is damaged: ask again later");
  }
  QF_RETURN_IF_ERROR(found);
  v1::DeviceArtifact artifact;
  QF_ASSIGN_OR_RETURN(const std::vector<Digest> lacking,
                      AddStored(manifest, backend_.blobs, artifact));
  for (const Digest& blob : lacking) backend_.scrubber.Suspect(blob);
  // Not an error of the artifact's: the device keeps what it has, and goes on when it is whole.
  if (!lacking.empty())
    return Unavailable("the daemon lacks parts of this artifact ({}): ask again later",
                       lacking.size());
  artifact.set_manifest(std::move(record.manifest));
  for (v1::Signed& statement : record.statements)
    if (device.facts().kv_types_size() > 0 ||
        !IsOfLongContext(statement, pipeline::MemoryOf(manifest)))
      *artifact.add_statements() = std::move(statement);
  return artifact;
}

}  // namespace quantfleet::daemon::app
