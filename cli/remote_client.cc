#include "cli/remote_client.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <cstdlib>
#include <optional>

#include "common/net/channel.h"
#include "common/trust/certificate.h"
#include "common/trust/validity.h"
#include "quantfleet/v1/device.grpc.pb.h"
#include "quantfleet/v1/operator.grpc.pb.h"

namespace quantfleet::cli {
namespace {

constexpr auto kReconnect =
    std::chrono::seconds(2);  // how long a call waits for a connection that was lost
constexpr auto kDeadline = std::chrono::seconds(10);
constexpr size_t kLarge = 32 << 10;  // of a message: no first one of a connection
constexpr auto kClockDeadline = std::chrono::seconds(3);
// The daemon hashes or reads the whole model before it answers.
constexpr auto kLongDeadline = std::chrono::minutes(30);

// The daemon's clock beside this computer's: asked for as a device does whose clock is wrong,
// without a certificate, and without a look at when the daemon's is valid. nullopt: no answer.
std::optional<trust::ClockPair> CompareClocks(const Credential& credential) {
  const auto channel = net::MakeChannel(
      credential.server, {credential.ca_pem, {}, []() -> std::optional<Time> { return {}; }}, {});
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kClockDeadline);
  v1::GetChallengeRequest request;
  request.set_device_id("clock");
  v1::Challenge challenge;
  if (!v1::DeviceService::NewStub(channel)->GetChallenge(&context, request, &challenge).ok())
    return std::nullopt;
  return trust::ClockPair{RealClock().Now(), FromUnixMillis(challenge.server_time_ms())};
}

// Why a handshake may have failed: empty, or a sentence about the two clocks.
std::string AboutClocks(const Credential& credential) {
  const auto clocks = CompareClocks(credential);
  if (!clocks || !clocks->disagree()) return "";
  const auto certificate = trust::ReadCertificate(credential.certificate_pem);
  const Time made = certificate.ok() ? certificate->not_before + trust::kBackdate : Time{};
  return " (" + trust::DescribeClocks(*clocks, "computer", made) + ")";
}

// gRPC says at length how it failed to connect; the last words are the cause.
absl::Status Explain(const grpc::Status& grpc_status, const Credential& credential) {
  const absl::Status status = net::FromGrpc(grpc_status);
  const std::string text = Message(status);
  const std::string& server = credential.server;
  if (status.code() == absl::StatusCode::kDeadlineExceeded)
    return DeadlineExceeded("{} did not answer in time: {}", server, text);
  if (status.code() != absl::StatusCode::kUnavailable) return status;
  constexpr std::string_view kRefusedByUs =
      "Custom verification check failed with error: UNAUTHENTICATED: ";
  if (const size_t at = text.find(kRefusedByUs); at != std::string::npos) {
    const std::string why = text.substr(at + kRefusedByUs.size()), clocks = AboutClocks(credential);
    return clocks.empty()
               ? Unauthenticated("{} is not the daemon of this credential: {}", server, why)
               : Unauthenticated("cannot connect to {}: {}{}", server, why, clocks);
  }
  const size_t at = text.rfind(": ");
  const std::string why = at == std::string::npos ? text : text.substr(at + 2);
  if (const std::string clocks = AboutClocks(credential); !clocks.empty())
    return Unavailable("cannot connect to {}: {}{}", server, why, clocks);
  return Unavailable("cannot reach {}: {}. Is quantfleetd running there?", server, why);
}

}  // namespace

absl::StatusOr<v1::LoginResponse> LogIn(const LoginPlace& place, const std::string& private_pem,
                                        const std::string& code) {
  ::setenv("GRPC_VERBOSITY", "NONE", 0);
  const Credential known{place.server, place.ca_pem, {}, {}};
  QF_ASSIGN_OR_RETURN(const std::string csr, trust::MakeCsr(private_pem, "operator"));
  QF_ASSIGN_OR_RETURN(const Digest key, trust::PublicKeyDigest(private_pem));
  const auto channel = net::MakeChannel(place.server, {place.ca_pem, place.ca, {}}, {});
  grpc::ClientContext asking;
  asking.set_deadline(std::chrono::system_clock::now() + kDeadline);
  v1::GetChallengeRequest question;
  question.set_device_id(trust::DeviceIdOf(key));
  v1::Challenge challenge;
  grpc::Status status =
      v1::DeviceService::NewStub(channel)->GetChallenge(&asking, question, &challenge);
  if (!status.ok()) return Explain(status, known);
  v1::LoginRequest request;
  request.set_code(code);
  request.set_csr_pem(csr);
  request.set_nonce(challenge.nonce());
  QF_ASSIGN_OR_RETURN(*request.mutable_proof(),
                      trust::SignWithTlsKey(private_pem, AsBytes(trust::ProofMessage(
                                                             "Login", challenge.nonce(), csr))));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kDeadline);
  v1::LoginResponse response;
  status = v1::OperatorService::NewStub(channel)->Login(&context, request, &response);
  if (!status.ok()) return Explain(status, known);
  // The fingerprint is what the daemon was known by: the CAs that count from now on include it.
  if (place.ca_pem.empty() && !trust::FindCertificate(response.ca_pem(), *place.ca).ok())
    return Unauthenticated("{} answered with other CAs than the one that it was asked for",
                           place.server);
  return response;
}

struct OperatorClient::Impl {
  explicit Impl(const Credential& of)
      : credential(of),
        channel(net::MakeChannel(of.server, {of.ca_pem, {}, {}},
                                 {of.certificate_pem, of.private_pem})) {}

  template <typename Stub, typename Request, typename Response>
  absl::StatusOr<Response> Call(std::unique_ptr<Stub> stub,
                                grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                             Response*),
                                const Request& request, std::chrono::seconds deadline = kDeadline) {
    net::AwaitConnection(*channel, kReconnect);
    if (request.ByteSizeLong() > kLarge) Introduce();
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + deadline);
    Response response;
    const grpc::Status status = (stub.get()->*method)(&context, request, &response);
    if (!status.ok()) return Explain(status, credential);
    return response;
  }

  // A daemon takes little on a connection before it has seen a call with a certificate. What it
  // answers does not matter: the call behind this one tells.
  void Introduce() {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kDeadline);
    v1::Status ignored;
    v1::StatusService::NewStub(channel)->GetStatus(&context, {}, &ignored);
  }

  template <typename Stub, typename Request, typename Response>
  absl::Status Follow(std::unique_ptr<Stub> stub,
                      std::unique_ptr<grpc::ClientReader<Response>> (Stub::*method)(
                          grpc::ClientContext*, const Request&),
                      const Request& request,
                      const std::function<void(const Response&)>& on_message) {
    net::AwaitConnection(*channel, kReconnect);
    grpc::ClientContext context;  // no deadline: keep-alive notices a daemon that is gone
    const auto reader = (stub.get()->*method)(&context, request);
    Response message;
    while (reader->Read(&message)) on_message(message);
    const grpc::Status status = reader->Finish();
    return status.ok() ? absl::OkStatus() : Explain(status, credential);
  }

  const Credential credential;
  const std::shared_ptr<grpc::Channel> channel;
};

OperatorClient::OperatorClient(const Credential& credential) {
  // gRPC writes to stderr about connections that fail; the commands report that themselves. A
  // setting by the user stays.
  ::setenv("GRPC_VERBOSITY", "NONE", 0);
  impl_ = std::make_unique<Impl>(credential);
}

OperatorClient::~OperatorClient() = default;

#define QF_CALL(Service, Method, ...) \
  impl_->Call(v1::Service::NewStub(impl_->channel), &v1::Service::Stub::Method, __VA_ARGS__)

namespace {

template <typename Request>
Request Named(const std::string& name) {
  Request request;
  request.set_name(name);
  return request;
}

template <typename Request>
Request WithId(const std::string& id) {
  Request request;
  request.set_id(id);
  return request;
}

}  // namespace

absl::StatusOr<v1::Model> OperatorClient::ImportModel(const v1::ImportModelRequest& request) {
  return QF_CALL(ModelService, ImportModel, request, kLongDeadline);
}
absl::StatusOr<v1::PushState> OperatorClient::BeginPush(const v1::BeginPushRequest& request) {
  return QF_CALL(ModelService, BeginPush, request);
}
absl::StatusOr<v1::Model> OperatorClient::CommitPush(const v1::CommitPushRequest& request) {
  return QF_CALL(ModelService, CommitPush, request, kLongDeadline);
}
absl::StatusOr<v1::ListModelsResponse> OperatorClient::ListModels() {
  return QF_CALL(ModelService, ListModels, v1::ListModelsRequest());
}
absl::StatusOr<v1::Model> OperatorClient::GetModel(const std::string& name) {
  return QF_CALL(ModelService, GetModel, Named<v1::GetModelRequest>(name));
}
absl::StatusOr<v1::Job> OperatorClient::SubmitJob(const v1::SubmitJobRequest& request) {
  return QF_CALL(JobService, SubmitJob, request);
}
absl::StatusOr<v1::Job> OperatorClient::GetJob(const std::string& name) {
  return QF_CALL(JobService, GetJob, Named<v1::GetJobRequest>(name));
}
absl::StatusOr<v1::ListJobsResponse> OperatorClient::ListJobs() {
  return QF_CALL(JobService, ListJobs, v1::ListJobsRequest());
}
absl::StatusOr<v1::Job> OperatorClient::CancelJob(const std::string& name) {
  return QF_CALL(JobService, CancelJob, Named<v1::CancelJobRequest>(name));
}
absl::StatusOr<v1::ListArtifactsResponse> OperatorClient::ListArtifacts(const std::string& model) {
  v1::ListArtifactsRequest request;
  request.set_model(model);
  return QF_CALL(ArtifactService, ListArtifacts, request);
}
absl::StatusOr<v1::ArtifactDetail> OperatorClient::GetArtifact(const std::string& name) {
  return QF_CALL(ArtifactService, GetArtifact, Named<v1::GetArtifactRequest>(name));
}
absl::StatusOr<v1::Artifact> OperatorClient::DeleteArtifact(const std::string& name) {
  return QF_CALL(ArtifactService, DeleteArtifact, Named<v1::GetArtifactRequest>(name));
}
absl::StatusOr<v1::CollectGarbageResponse> OperatorClient::CollectGarbage(bool dry_run) {
  v1::CollectGarbageRequest request;
  request.set_dry_run(dry_run);
  return QF_CALL(ArtifactService, CollectGarbage, request, kLongDeadline);
}
absl::StatusOr<v1::Job> OperatorClient::RepairArtifact(const std::string& name) {
  return QF_CALL(ArtifactService, RepairArtifact, Named<v1::GetArtifactRequest>(name));
}
absl::StatusOr<v1::Scrub> OperatorClient::ScrubBlobs() {
  return QF_CALL(ArtifactService, ScrubBlobs, v1::ScrubBlobsRequest());
}
absl::StatusOr<v1::ListDeviceClassesResponse> OperatorClient::ListDeviceClasses() {
  return QF_CALL(DeviceClassService, ListDeviceClasses, v1::ListDeviceClassesRequest());
}
absl::StatusOr<v1::DeviceClass> OperatorClient::ApplyDeviceClass(const std::string& toml) {
  v1::ApplyDeviceClassRequest request;
  request.set_toml(toml);
  return QF_CALL(DeviceClassService, ApplyDeviceClass, request);
}
absl::StatusOr<v1::CreateTokenResponse> OperatorClient::CreateToken(
    const v1::CreateTokenRequest& request) {
  return QF_CALL(TokenService, CreateToken, request);
}
absl::StatusOr<v1::ListTokensResponse> OperatorClient::ListTokens() {
  return QF_CALL(TokenService, ListTokens, v1::ListTokensRequest());
}
absl::StatusOr<v1::EnrollmentToken> OperatorClient::RevokeToken(const std::string& id) {
  return QF_CALL(TokenService, RevokeToken, WithId<v1::RevokeTokenRequest>(id));
}
absl::StatusOr<v1::Device> OperatorClient::GetDevice(const std::string& id) {
  return QF_CALL(FleetService, GetDevice, WithId<v1::GetDeviceRequest>(id));
}
absl::StatusOr<v1::Device> OperatorClient::RevokeDevice(const std::string& id) {
  return QF_CALL(FleetService, RevokeDevice, WithId<v1::GetDeviceRequest>(id));
}
absl::StatusOr<v1::Device> OperatorClient::LabelDevice(const v1::LabelDeviceRequest& request) {
  return QF_CALL(FleetService, LabelDevice, request);
}
absl::StatusOr<v1::Device> OperatorClient::ForgetOutgrown(
    const v1::ForgetOutgrownRequest& request) {
  return QF_CALL(FleetService, ForgetOutgrown, request);
}
absl::StatusOr<v1::Rollout> OperatorClient::AllowDownload(const v1::AllowDownloadRequest& request) {
  return QF_CALL(RolloutService, AllowDownload, request);
}
absl::StatusOr<v1::DeviceGroup> OperatorClient::ApplyGroup(const v1::DeviceGroup& group) {
  v1::ApplyGroupRequest request;
  *request.mutable_group() = group;
  return QF_CALL(GroupService, ApplyGroup, request);
}
absl::StatusOr<v1::ListGroupsResponse> OperatorClient::ListGroups() {
  return QF_CALL(GroupService, ListGroups, v1::ListGroupsRequest());
}
absl::StatusOr<v1::GroupDetail> OperatorClient::GetGroup(const std::string& name) {
  v1::GetGroupRequest request = Named<v1::GetGroupRequest>(name);
  v1::GroupDetail all;
  do {
    QF_ASSIGN_OR_RETURN(v1::GroupDetail page, QF_CALL(GroupService, GetGroup, request));
    *all.mutable_group() = std::move(*page.mutable_group());
    all.mutable_members()->MergeFrom(page.members());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return all;
}
absl::StatusOr<v1::DeviceGroup> OperatorClient::DeleteGroup(const std::string& name) {
  return QF_CALL(GroupService, DeleteGroup, Named<v1::GetGroupRequest>(name));
}
absl::StatusOr<v1::AllowDevicesResponse> OperatorClient::AllowDevices(
    const v1::AllowDevicesRequest& request) {
  return QF_CALL(FleetService, AllowDevices, request);
}
absl::StatusOr<v1::AllowedDevice> OperatorClient::DisallowDevice(const std::string& id) {
  return QF_CALL(FleetService, DisallowDevice, WithId<v1::GetDeviceRequest>(id));
}
absl::StatusOr<v1::ListPendingDevicesResponse> OperatorClient::ListPendingDevices() {
  return QF_CALL(FleetService, ListPendingDevices, v1::ListPendingDevicesRequest());
}
absl::StatusOr<v1::Device> OperatorClient::ApproveDevice(const std::string& id) {
  return QF_CALL(FleetService, ApproveDevice, WithId<v1::GetDeviceRequest>(id));
}
absl::StatusOr<v1::Device> OperatorClient::RejectDevice(const std::string& id) {
  return QF_CALL(FleetService, RejectDevice, WithId<v1::GetDeviceRequest>(id));
}
absl::StatusOr<v1::Rollout> OperatorClient::CreateRollout(const v1::CreateRolloutRequest& request) {
  return QF_CALL(RolloutService, CreateRollout, request);
}
absl::StatusOr<v1::Rollout> OperatorClient::GetRollout(const std::string& name) {
  v1::GetRolloutRequest request = Named<v1::GetRolloutRequest>(name);
  google::protobuf::RepeatedPtrField<v1::RolloutDevice> devices;
  for (;;) {
    QF_ASSIGN_OR_RETURN(v1::Rollout page, QF_CALL(RolloutService, GetRollout, request));
    for (v1::RolloutDevice& device : *page.mutable_devices()) *devices.Add() = std::move(device);
    if (page.next_page_token().empty()) {
      page.mutable_devices()->Swap(&devices);
      return page;
    }
    request.set_page_token(page.next_page_token());
  }
}
absl::StatusOr<v1::ListRolloutsResponse> OperatorClient::ListRollouts() {
  return QF_CALL(RolloutService, ListRollouts, v1::ListRolloutsRequest());
}
absl::StatusOr<v1::Rollout> OperatorClient::PauseRollout(const v1::RolloutActionRequest& request) {
  return QF_CALL(RolloutService, PauseRollout, request);
}
absl::StatusOr<v1::Rollout> OperatorClient::ResumeRollout(const v1::RolloutActionRequest& request) {
  return QF_CALL(RolloutService, ResumeRollout, request);
}
absl::StatusOr<v1::Rollout> OperatorClient::ApproveRollout(
    const v1::RolloutActionRequest& request) {
  return QF_CALL(RolloutService, ApproveRollout, request);
}
absl::StatusOr<v1::Rollout> OperatorClient::AbortRollout(const v1::RolloutActionRequest& request) {
  return QF_CALL(RolloutService, AbortRollout, request);
}
absl::StatusOr<v1::Rollout> OperatorClient::RollbackRollout(
    const v1::RolloutActionRequest& request) {
  return QF_CALL(RolloutService, RollbackRollout, request);
}
absl::StatusOr<v1::OperatorWithCode> OperatorClient::CreateOperator(
    const v1::CreateOperatorRequest& request) {
  return QF_CALL(OperatorService, CreateOperator, request);
}
absl::StatusOr<v1::ListOperatorsResponse> OperatorClient::ListOperators() {
  return QF_CALL(OperatorService, ListOperators, v1::ListOperatorsRequest());
}
absl::StatusOr<v1::Operator> OperatorClient::GetOperator(const std::string& name) {
  return QF_CALL(OperatorService, GetOperator, Named<v1::GetOperatorRequest>(name));
}
absl::StatusOr<v1::Operator> OperatorClient::RevokeOperator(
    const v1::RevokeOperatorRequest& request) {
  return QF_CALL(OperatorService, RevokeOperator, request);
}
absl::StatusOr<v1::OperatorWithCode> OperatorClient::RotateOperator(
    const v1::RotateOperatorRequest& request) {
  return QF_CALL(OperatorService, RotateOperator, request);
}
absl::StatusOr<v1::ListAuditResponse> OperatorClient::ListAudit(
    const v1::ListAuditRequest& request) {
  return QF_CALL(AuditService, ListAudit, request);
}
absl::StatusOr<v1::Status> OperatorClient::GetStatus() {
  return QF_CALL(StatusService, GetStatus, v1::GetStatusRequest());
}

namespace {

// Two pages may name the same one.
template <typename Response>
void AddDamaged(const Response& page, Response& all) {
  for (const std::string& record : page.damaged())
    if (std::ranges::find(all.damaged(), record) == all.damaged().end()) all.add_damaged(record);
}

}  // namespace

absl::StatusOr<v1::ListDevicesResponse> OperatorClient::ListDevices() {
  v1::ListDevicesResponse all;
  v1::ListDevicesRequest request;
  do {
    QF_ASSIGN_OR_RETURN(v1::ListDevicesResponse page, QF_CALL(FleetService, ListDevices, request));
    for (v1::Device& device : *page.mutable_devices()) *all.add_devices() = std::move(device);
    AddDamaged(page, all);
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return all;
}

absl::StatusOr<v1::ListAllowedDevicesResponse> OperatorClient::ListAllowedDevices() {
  v1::ListAllowedDevicesResponse all;
  v1::ListAllowedDevicesRequest request;
  do {
    QF_ASSIGN_OR_RETURN(v1::ListAllowedDevicesResponse page,
                        QF_CALL(FleetService, ListAllowedDevices, request));
    for (v1::AllowedDevice& device : *page.mutable_devices())
      *all.add_devices() = std::move(device);
    AddDamaged(page, all);
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return all;
}

absl::StatusOr<v1::PushState> OperatorClient::WritePush(const NextPiece& next) {
  net::AwaitConnection(*impl_->channel, kReconnect);
  grpc::ClientContext context;  // no deadline: keep-alive notices a daemon that is gone
  v1::PushState state;
  const auto stub = v1::ModelService::NewStub(impl_->channel);
  const auto writer = stub->WritePush(&context, &state);
  v1::PushData piece;
  for (;;) {
    const absl::StatusOr<bool> more = next(piece);
    if (!more.ok()) {
      context.TryCancel();
      (void)writer->Finish();
      return more.status();
    }
    // A write that fails means that the daemon has ended the call: Finish says why.
    if (!*more || !writer->Write(piece)) break;
  }
  writer->WritesDone();
  const grpc::Status status = writer->Finish();
  if (!status.ok()) return Explain(status, impl_->credential);
  return state;
}

absl::Status OperatorClient::WatchJob(const std::string& name,
                                      const std::function<void(const v1::Job&)>& on_change) {
  return impl_->Follow(v1::JobService::NewStub(impl_->channel), &v1::JobService::Stub::WatchJob,
                       Named<v1::GetJobRequest>(name), on_change);
}

absl::Status OperatorClient::WatchScrub(const std::function<void(const v1::Scrub&)>& on_change) {
  return impl_->Follow(v1::ArtifactService::NewStub(impl_->channel),
                       &v1::ArtifactService::Stub::WatchScrub, v1::WatchScrubRequest(), on_change);
}

absl::Status OperatorClient::WatchRollout(
    const std::string& name, uint64_t revision,
    const std::function<void(const v1::Rollout&)>& on_change) {
  v1::WatchRolloutRequest request = Named<v1::WatchRolloutRequest>(name);
  request.set_revision(revision);
  return impl_->Follow(v1::RolloutService::NewStub(impl_->channel),
                       &v1::RolloutService::Stub::WatchRollout, request, on_change);
}

}  // namespace quantfleet::cli
