// Rollouts: each device is assigned, phase by phase, the artifact that its class wants, as a
// signed release.
//
// Everything is a transaction: what a device reported, the step of the machine (machine.h) that
// follows from it, and the assignments that the step made are committed together, so that a restart
// continues from there. The machine is asked after each report, each operator's action and on each
// Tick. One rollout at a time has a device of a model: a newer one takes its devices from an older
// one, unless that has a higher priority. And only one at a time assigns to a device, whatever the
// model: rollouts that wait for it are asked by priority, then age. Thread-safe; collaborators must
// outlive it.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "daemon/fleet/class_registry.h"
#include "daemon/fleet/groups.h"
#include "daemon/rollout/machine.h"
#include "daemon/rollout/match.h"
#include "daemon/rollout/row.h"
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
  // `check_in`: how often devices check in; estimates depend on it.
  explicit Rollouts(Collaborators with, Duration check_in = std::chrono::seconds(30))
      : with_(with), check_in_(check_in) {}

  // ---- create.cc
  struct CreateRequest {
    std::string request_id, model;
    std::vector<std::string> device_ids;  // empty: every active device
    std::vector<std::string> artifacts;   // names or digest prefixes, of one version; empty: its
                                          // newest per format and recipe
    v1::RolloutPlan plan = {};            // empty: all at once
    Labels selector = {};                 // only devices that have all of these labels
    bool dry_run = false;                 // returns what would be created; nothing is stored
    bool draft = false;
    std::string group = {};  // only devices that belong to it
    uint64_t version = 0;    // of the model; 0: the newest, or the one that `artifacts` are of
  };
  // NOT_FOUND: a group that the plan or the request names. Refused (FAILED_PRECONDITION with the
  // reasons) when no device can get anything and none may join, or when a device's class has an
  // artifact only of other versions: it would be left behind without a word.
  absl::StatusOr<v1::Rollout> Create(const CreateRequest& request);

  // ---- rollouts.cc Takes in what a device just reported.
  absl::Status Report(Transaction& tx, std::string_view device_id,
                      const std::vector<v1::ModelStatus>& models);
  // The device was revoked: its rows are closed.
  absl::Status Skip(Transaction& tx, std::string_view device_id, std::string_view reason);
  // Time has passed: soak times, device timeouts, rates, windows. Returns the first error; the
  // other rollouts have had their turn.
  absl::Status Tick();
  // Does what an operator asks for, with a reason for the record; returns a summary of the rollout
  // afterwards.
  absl::StatusOr<v1::Rollout> Act(const std::string& name, RolloutEvent event,
                                  std::string_view why);
  // Allows devices whose download waits because it exceeds their budget to download it: a new
  // release each. `device_ids`: empty: all that wait; FAILED_PRECONDITION names one that does not.
  absl::StatusOr<v1::Rollout> AllowDownload(const std::string& name,
                                            const std::vector<std::string>& device_ids);
  // Lets the phase (from 1) begin; does nothing if it has begun. 0: whichever waits.
  absl::StatusOr<v1::Rollout> Approve(const std::string& name, uint32_t phase,
                                      std::string_view why = "");

 private:
  absl::Status ActOn(Transaction& tx, const v1::Rollout& rollout, RolloutEvent event,
                     std::string_view why);

  // ---- create.cc
  // Those of one version of the model, newest first.
  struct ChosenVersion {
    uint64_t version = 0;
    std::vector<OfferedArtifact> artifacts;
    std::vector<v1::Artifact> all;  // of any version
  };
  absl::StatusOr<ChosenVersion> ChooseVersion(const Transaction& tx, const CreateRequest& request);
  // Those that the rollout began with.
  absl::StatusOr<std::vector<OfferedArtifact>> ArtifactsOf(const Transaction& tx,
                                                           const v1::Rollout& rollout);
  // The groups that a rollout names, as they are now. A missing one is NOT_FOUND with
  // `all`, else left out.
  absl::StatusOr<Groups> LoadGroups(const Transaction& tx, const v1::Rollout& rollout, bool all);
  absl::StatusOr<std::vector<v1::Device>> ChooseDevices(const Transaction& tx,
                                                        const CreateRequest& request,
                                                        const v1::Rollout& rollout,
                                                        const Groups& groups);
  absl::StatusOr<v1::Rollout> Draw(
      const Transaction& tx,
      const CreateRequest& request);  // with its rows, counts and estimate
  absl::StatusOr<v1::Rollout> Record(Transaction& tx, const v1::Rollout& rollout,
                                     const Request& request);

  // ---- assign.cc
  // Assigns to the next devices, at most `most`; returns how many rows it dealt with. Those whose
  // artifact is damaged wait, and say so.
  absl::StatusOr<uint64_t> AssignNext(Transaction& tx, v1::Rollout& rollout, uint64_t most);
  absl::Status AssignDevice(Transaction& tx, const v1::Rollout& rollout, const v1::Device& device,
                            v1::RolloutDevice& row);
  // How the device is to run the row's artifact, by its class as it is now.
  absl::StatusOr<v1::Assignment> TermsOf(const Transaction& tx, const v1::Rollout& rollout,
                                         const v1::Device& device, const v1::RolloutDevice& row);
  // Assigns the next release of the rollout's model to the row's device and moves the row by
  // `event`, which has to concern it. `artifact`: its name; empty: remove the model. `terms`:
  // health, runtime, network and steps down; the rest is filled in.
  absl::Status Assign(Transaction& tx, const v1::Rollout& rollout, const std::string& artifact,
                      const v1::Assignment& terms, RowEvent event, v1::RolloutDevice& row);
  absl::Status CloseRows(Transaction& tx, const v1::Rollout& rollout);
  absl::Status RollBackRows(Transaction& tx, const v1::Rollout& rollout);
  absl::Status RollBackRow(Transaction& tx, const v1::Rollout& rollout, v1::RolloutDevice row);

  // ---- claim.cc
  // `rows`: of one device, in active rollouts. Why it stays with another rollout of the model, if
  // it does.
  static std::optional<std::string> WhyOutranked(const v1::Rollout& rollout,
                                                 const std::vector<RolloutStore::Row>& rows);
  // Other active rollouts of the model give the device up; adds their names and those of the
  // rollouts that wait for it.
  absl::Status Supersede(Transaction& tx, const v1::Rollout& rollout,
                         const std::vector<RolloutStore::Row>& rows,
                         std::set<std::string>& touched);
  // The rollout begins: it takes each of its devices, or the row is OUTRANKED. Adds it and the
  // rollouts that it touches.
  absl::Status Claim(Transaction& tx, const v1::Rollout& rollout, std::set<std::string>& touched);
  // Adds the rollouts that wait for the device.
  static void TouchWaiting(const std::vector<RolloutStore::Row>& rows,
                           std::set<std::string>& touched);
  absl::Status Join(Transaction& tx, std::string_view device_id, std::set<std::string>& touched);
  absl::Status JoinOne(Transaction& tx, const v1::Device& device, const v1::Rollout& rollout,
                       const Groups& groups, std::set<std::string>& touched);

  // ---- rollouts.cc One step of the machine; returns whether anything moved. FAILED_PRECONDITION:
  // the event is not allowed in this state. Adds the other rollouts that the step touches.
  absl::StatusOr<bool> Step(Transaction& tx, const std::string& name, RolloutEvent event,
                            std::string_view why, std::set<std::string>& touched);
  absl::Status Settle(Transaction& tx, const std::string& name);  // steps until nothing moves
  absl::Status SettleAll(
      Transaction& tx,
      const std::set<std::string>& names);  // the highest priority first, then the oldest
  absl::StatusOr<bool> Apply(Transaction& tx, Decision& decision, std::set<std::string>& touched);
  absl::Status ApplyToRows(Transaction& tx, const Decision& decision,
                           std::set<std::string>& touched);
  absl::Status TimeOut(Transaction& tx, const v1::Rollout& rollout);
  absl::StatusOr<PhaseCounts> Count(const Transaction& tx, const v1::Rollout& rollout);
  absl::Status ReportRows(Transaction& tx, std::string_view device_id,
                          const std::vector<v1::ModelStatus>& models,
                          std::set<std::string>& touched);

  Time Now() const { return with_.clock.Now(); }
  int64_t Deadline(const v1::Rollout& rollout) const;

  const Collaborators with_;
  const Duration check_in_;
};

// Whether the device has the rollout's labels and belongs to its group, if the rollout names any.
bool IsMeant(const v1::Rollout& rollout, const Groups& groups, const v1::Device& device);

// What decides which devices come early: the same for a rollout and for its dry run.
std::string SeedOf(const v1::Rollout& rollout);

}  // namespace quantfleet::daemon
