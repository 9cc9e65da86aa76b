// Rollouts, all at once: each device is assigned the artifact that its class wants, as a signed release, and the rollout
// ends when every device is healthy, failed or skipped.
//
// A rollout and its assignments are one transaction; what devices report is applied row by row, so that a restart goes
// on from what was committed. A newer rollout of the same model takes its devices from an older one that still runs.
// Thread-safe; collaborators must outlive it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "daemon/fleet/class_registry.h"
#include "daemon/store/store.h"
#include "daemon/trust/authority.h"

namespace quantfleet::daemon {

class Rollouts {
 public:
  struct Collaborators {
    Store& store;
    const Authority& authority;
    ClassRegistry& classes;
    Random& random;
    const Clock& clock;
  };
  explicit Rollouts(Collaborators with) : with_(with) {}

  struct CreateRequest {
    std::string request_id, model;
    std::vector<std::string> device_ids;  // empty: every active device
    std::vector<std::string> artifacts;   // names or digest prefixes; empty: the newest per format and recipe
  };
  // Refused whole (FAILED_PRECONDITION with the reasons) when not one device can get anything.
  absl::StatusOr<v1::Rollout> Create(const CreateRequest& request);

  // What a device just reported.
  absl::Status Report(std::string_view device_id, const std::vector<v1::ModelStatus>& models);
  // The device gets no further: it was revoked.
  absl::Status Skip(std::string_view device_id, std::string_view reason);

 private:
  struct Artifact {
    v1::Artifact artifact;
    uint64_t memory_bytes = 0;
    std::vector<std::string> instruction_sets;
  };
  absl::StatusOr<std::vector<Artifact>> ChooseArtifacts(const CreateRequest& request);
  absl::StatusOr<std::vector<v1::Device>> ChooseDevices(const CreateRequest& request);
  static v1::RolloutDevice Match(const v1::Device& device, const std::vector<Artifact>& artifacts,
                                 const std::vector<DeviceClassSpec>& classes, std::string_view model);
  absl::Status Record(v1::Rollout& rollout, const Request& request);
  absl::Status Assign(const v1::Rollout& rollout, v1::RolloutDevice& row);
  absl::Status FinishIfDone(std::string_view rollout);

  const Collaborators with_;
};

}  // namespace quantfleet::daemon
