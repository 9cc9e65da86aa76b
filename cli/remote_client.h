// The operator's calls as functions of messages: one connection to a daemon, deadlines, and errors
// that an operator can act on. gRPC stays inside the .cc. Not thread-safe.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "cli/remote_credential.h"
#include "cli/remote_push.h"
#include "common/base/digest.h"
#include "common/base/status.h"
#include "quantfleet/v1/operator.pb.h"

namespace quantfleet::cli {

// Logs in with a key: a certificate for it, from the daemon at `server`. The daemon is known by its
// CA, or, at first contact, by the CA's fingerprint. `code`: empty when the key is an operator's
// already.
struct LoginPlace {
  std::string server;
  std::string ca_pem;  // empty: known by the fingerprint
  std::optional<Digest> ca = {};
};
absl::StatusOr<v1::LoginResponse> LogIn(const LoginPlace& place, const std::string& private_pem,
                                        const std::string& code);

class OperatorClient final : public PushPort {
 public:
  explicit OperatorClient(const Credential& credential);
  ~OperatorClient() override;

  absl::StatusOr<v1::Model> ImportModel(const v1::ImportModelRequest& request);
  absl::StatusOr<v1::PushState> BeginPush(const v1::BeginPushRequest& request) override;
  absl::StatusOr<v1::PushState> WritePush(const NextPiece& next) override;
  absl::StatusOr<v1::Model> CommitPush(const v1::CommitPushRequest& request) override;
  absl::StatusOr<v1::ListModelsResponse> ListModels();
  absl::StatusOr<v1::Model> GetModel(const std::string& name);

  absl::StatusOr<v1::Job> SubmitJob(const v1::SubmitJobRequest& request);
  absl::StatusOr<v1::Job> GetJob(const std::string& name);
  absl::StatusOr<v1::ListJobsResponse> ListJobs();
  absl::StatusOr<v1::Job> CancelJob(const std::string& name);
  // Calls `on_change` with each state until the stream ends.
  absl::Status WatchJob(const std::string& name,
                        const std::function<void(const v1::Job&)>& on_change);

  absl::StatusOr<v1::ListArtifactsResponse> ListArtifacts(const std::string& model);
  absl::StatusOr<v1::ArtifactDetail> GetArtifact(const std::string& name);
  absl::StatusOr<v1::Artifact> DeleteArtifact(const std::string& name);
  absl::StatusOr<v1::CollectGarbageResponse> CollectGarbage(bool dry_run);
  absl::StatusOr<v1::Job> RepairArtifact(const std::string& name);
  absl::StatusOr<v1::Scrub> ScrubBlobs();
  // Calls `on_change` with each state until the stream ends.
  absl::Status WatchScrub(const std::function<void(const v1::Scrub&)>& on_change);
  absl::StatusOr<v1::ListDeviceClassesResponse> ListDeviceClasses();
  absl::StatusOr<v1::DeviceClass> ApplyDeviceClass(const std::string& toml);
  absl::StatusOr<v1::CreateTokenResponse> CreateToken(const v1::CreateTokenRequest& request);
  absl::StatusOr<v1::ListTokensResponse> ListTokens();
  absl::StatusOr<v1::EnrollmentToken> RevokeToken(const std::string& id);
  absl::StatusOr<v1::ListDevicesResponse> ListDevices();  // every page
  absl::StatusOr<v1::Device> GetDevice(const std::string& id);
  absl::StatusOr<v1::Device> RevokeDevice(const std::string& id);
  absl::StatusOr<v1::Device> LabelDevice(const v1::LabelDeviceRequest& request);
  absl::StatusOr<v1::Device> ForgetOutgrown(const v1::ForgetOutgrownRequest& request);
  absl::StatusOr<v1::DeviceGroup> ApplyGroup(const v1::DeviceGroup& group);
  absl::StatusOr<v1::ListGroupsResponse> ListGroups();
  absl::StatusOr<v1::GroupDetail> GetGroup(const std::string& name);  // every page
  absl::StatusOr<v1::DeviceGroup> DeleteGroup(const std::string& name);
  absl::StatusOr<v1::AllowDevicesResponse> AllowDevices(const v1::AllowDevicesRequest& request);
  absl::StatusOr<v1::ListAllowedDevicesResponse> ListAllowedDevices();  // every page
  absl::StatusOr<v1::AllowedDevice> DisallowDevice(const std::string& id);
  absl::StatusOr<v1::ListPendingDevicesResponse> ListPendingDevices();
  absl::StatusOr<v1::Device> ApproveDevice(const std::string& id);
  absl::StatusOr<v1::Device> RejectDevice(const std::string& id);
  absl::StatusOr<v1::Rollout> CreateRollout(const v1::CreateRolloutRequest& request);
  absl::StatusOr<v1::Rollout> GetRollout(
      const std::string& name);  // with every page of its devices
  // Calls `on_change` with each summary, and the devices that changed since `revision`, until the
  // stream ends.
  absl::Status WatchRollout(const std::string& name, uint64_t revision,
                            const std::function<void(const v1::Rollout&)>& on_change);
  absl::StatusOr<v1::ListRolloutsResponse> ListRollouts();
  absl::StatusOr<v1::Rollout> AllowDownload(const v1::AllowDownloadRequest& request);
  absl::StatusOr<v1::Rollout> PauseRollout(const v1::RolloutActionRequest& request);
  absl::StatusOr<v1::Rollout> ResumeRollout(const v1::RolloutActionRequest& request);
  absl::StatusOr<v1::Rollout> ApproveRollout(const v1::RolloutActionRequest& request);
  absl::StatusOr<v1::Rollout> AbortRollout(const v1::RolloutActionRequest& request);
  absl::StatusOr<v1::Rollout> RollbackRollout(const v1::RolloutActionRequest& request);
  absl::StatusOr<v1::OperatorWithCode> CreateOperator(const v1::CreateOperatorRequest& request);
  absl::StatusOr<v1::ListOperatorsResponse> ListOperators();
  absl::StatusOr<v1::Operator> GetOperator(const std::string& name);
  absl::StatusOr<v1::Operator> RevokeOperator(const v1::RevokeOperatorRequest& request);
  absl::StatusOr<v1::OperatorWithCode> RotateOperator(const v1::RotateOperatorRequest& request);
  absl::StatusOr<v1::ListAuditResponse> ListAudit(const v1::ListAuditRequest& request);
  absl::StatusOr<v1::Status> GetStatus();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace quantfleet::cli
