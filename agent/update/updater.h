// One model on this device: carries out an assignment, one step after the other:
//
//   Fetch -> Verify -> Switch -> Prove -> Soak -> healthy
//     ^                            |        |
//     |                            +--------+-> RollBack -> failed; the previous version runs again
//     |                                            |
//     +--- StepDown: the next smaller precision <--+        (only if too_slow or out_of_memory)
//
// Every step begins from what the disk says, so that a SIGKILL between any two of them is followed
// by the right one. All calls but status() come from one thread; collaborators outlive the updater.
#pragma once

#include <functional>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>

#include "agent/update/assignment.h"
#include "agent/update/blob_source.h"
#include "agent/update/data_budget.h"
#include "agent/update/downloader.h"
#include "agent/update/model_host.h"
#include "agent/update/model_record.h"
#include "agent/update/sleeper.h"
#include "agent/update/slots.h"
#include "quantfleet/v1/types.pb.h"

namespace quantfleet::agent {

struct UpdateEnvironment {
  FileSystem& files;
  Random& random;
  Sleeper& sleeper;
  const Clock& clock;
  DataBudget& budget;
  BlobSource& blobs;
  ModelHost& host;
  std::function<absl::StatusOr<v1::DeviceArtifact>(const v1::GetDeviceArtifactRequest&)>
      get_artifact;
  std::function<v1::TrustRoot()> trust_root;
  // A phase, a reason or an endpoint changed; not called for mere progress.
  std::function<void(const v1::ModelStatus&)> on_change;
};

class Updater {
 public:
  // `folder`: STATE/models/<model>.
  Updater(UpdateEnvironment& environment, std::string model, fs::path folder);

  // Reads what is there and runs the current version, if it was ever proven.
  void Boot(std::stop_token stop = {});
  // Accepts the assignment durably, or refuses it and says so in the status.
  void Accept(const Assignment& assignment);
  // A statement about this model was refused: said in the status, nothing else happens.
  void Refuse(std::string_view reason, std::string_view detail);
  // Works until nothing is left to do or `stop`. True: settled. False: stopped.
  bool Run(std::stop_token stop);

  // Thread-safe.
  v1::ModelStatus status() const;

 private:
  enum class Step {
    kSettled,
    kFetch,
    kVerify,
    kSwitch,
    kProve,
    kSoak,
    kRollBack,
    kStepDown,
    kRemove
  };

  Step NextStep();
  // What its host gave up counts as an activation that failed.
  void LookAfter();
  // The current slot was proven before, with something else than the current release wants.
  bool ProvenOtherwise(Slot slot) const;
  // OK: what comes next. An error: it may pass; NextStep decides anew after a while.
  absl::StatusOr<Step> Do(Step step, std::stop_token stop);
  absl::StatusOr<Step> Fetch(std::stop_token stop);
  absl::StatusOr<Step> Verify(std::stop_token stop);
  absl::StatusOr<Step> SwitchOver();
  absl::StatusOr<Step> Prove(std::stop_token stop);
  absl::StatusOr<Step> Soak(std::stop_token stop);
  absl::StatusOr<Step> RollBack(std::stop_token stop);
  absl::StatusOr<Step> StepDown();
  absl::StatusOr<Step> Remove();

  absl::Status GetArtifact();
  absl::StatusOr<Downloader> OpenDownloader();
  absl::StatusOr<Health> Start(Slot slot, const std::optional<v1::Runtime>& runtime,
                               const v1::ContextPolicy& context, const HealthGate& gate,
                               std::stop_token stop);
  // The most tokens of the record's wish that this machine has memory for now. RESOURCE_EXHAUSTED:
  // too few.
  absl::StatusOr<v1::ContextPolicy> ChooseContext(Slot slot) const;
  // Golden answers of the evaluation that was made as it is to run.
  HealthGate GateOf(Slot slot, const v1::ContextPolicy& context) const;
  absl::Status CountAttempt(uint32_t attempts);
  // The activation counts from now on.
  absl::StatusOr<Step> Commit();
  // What failed was too large or too slow, and there is something smaller.
  bool CanStepDown() const;
  // What runs is the slot's, and runs as that was proven.
  bool RunsAsProven(Slot slot) const;
  // With what it was proven with.
  absl::Status StartProven(Slot slot, std::stop_token stop);
  // What becomes of the record of an activation that does not count.
  static void Blame(ModelRecord& record, const absl::Status& why);
  absl::Status Save(const ModelRecord& record);
  Step Fail(std::string_view reason, std::string_view detail);
  // Sorts a failure into one that may pass (the error itself) and one that will not (a reason;
  // settled).
  absl::StatusOr<Step> SortOut(const absl::Status& error);
  void Show(v1::ModelStatus::Phase phase, std::string_view reason = "",
            std::string_view detail = "");
  void ShowProgress(const DownloadProgress& progress);
  void ShowWaiting(const absl::Status& why);

  UpdateEnvironment& environment_;
  const std::string model_;
  Slots slots_;
  ModelRecord record_;
  bool failed_ = false;  // record_'s release, in this process
  int verify_rounds_ = 0;
  std::optional<Digest> running_;               // what the host answers with
  std::optional<v1::Runtime> runtime_;          // of running_
  v1::ContextPolicy context_;                   // of running_: what it runs with
  std::optional<v1::DeviceArtifact> artifact_;  // of record_.manifest
  absl::Status prove_error_;
  std::optional<Duration> soak_left_;  // of record_, which runs and was proven but for this

  mutable std::mutex mutex_;  // guards what follows
  v1::ModelStatus status_;
  struct Refusal {
    std::string reason, detail;
  };
  std::optional<Refusal> refusal_;
};

}  // namespace quantfleet::agent
