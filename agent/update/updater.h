// One model on this device: carries out an assignment, one step after the other:
//
//   Fetch -> Verify -> Switch -> Prove -> Soak -> healthy
//     ^                            |        |
//     |                            +--------+-> RollBack -> failed; the previous version runs again
//     |                                            |
//     +--- StepDown: the next smaller precision <--+        (only if too_slow or out_of_memory)
//
// With nothing else to do, and before it is proven after a restart: Check -> Repair (damaged chunks
// alone are fetched again).
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
#include "agent/update/turns.h"
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
  Turns& turns;
  // A connection that brings less is given up for another; 0: never.
  uint64_t min_bytes_per_second = 0;
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
  void Refuse(Reason reason, std::string_view detail);
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
    kRemove,
    kCheck,
    kRepair
  };

  Step NextStep();
  // Of what is about to be proven: its bytes were checked since the agent started, and are whole.
  Step BeforeProof() const;
  // With nothing else to do: looks after the bytes of what runs.
  Step Upkeep() const;
  // What its host gave up counts as an activation that failed.
  void LookAfter();
  // The current slot was proven before, with something else than the current release wants.
  bool ProvenOtherwise(Slot slot) const;
  // What comes next. A setback that passes: NextStep decides anew after a while.
  Tried<Step> Do(Step step, std::stop_token stop);
  // Of those that load, measure or watch models one runs at a time on this device.
  static bool NeedsTurn(Step step);
  // False: stopped before.
  bool TakeTurn(std::stop_token stop);
  bool RunSteps(std::stop_token stop);
  Tried<Step> Fetch(std::stop_token stop);
  Tried<Step> Verify(std::stop_token stop);
  Tried<Step> SwitchOver();
  Tried<Step> Prove(std::stop_token stop);
  Tried<Step> Soak(std::stop_token stop);
  Tried<Step> RollBack(std::stop_token stop);
  Tried<Step> StepDown();
  Tried<Step> Remove();
  Tried<Step> Check(std::stop_token stop);
  Tried<Step> Repair(std::stop_token stop);

  Verdict GetArtifact();
  // Fetches what is missing within the class's limits; `begins` once it is known that it may.
  Verdict Pull(Downloader& downloader, std::stop_token stop, const std::function<void()>& begins);
  // Into the slot, from what the daemon offers and what the other slot has.
  Tried<Downloader> OpenDownloader(Slot slot, const v1::DeviceArtifact* offered);
  Tried<Health> Start(Slot slot, const std::optional<v1::Runtime>& runtime,
                      const v1::ContextPolicy& context, const HealthGate& gate,
                      std::stop_token stop);
  // The most tokens of the record's wish that this machine has memory for now. kOutOfMemory: too
  // few.
  Tried<v1::ContextPolicy> ChooseContext(Slot slot) const;
  // Golden answers of the evaluation that was made as it is to run.
  HealthGate GateOf(Slot slot, const v1::ContextPolicy& context) const;
  Verdict CountAttempt(uint32_t attempts);
  // The activation counts from now on.
  Tried<Step> Commit();
  // What failed was too large or too slow, and there is something smaller.
  bool CanStepDown() const;
  // What runs is the slot's, and runs as that was proven.
  bool RunsAsProven(Slot slot) const;
  // With what it was proven with.
  Verdict StartProven(Slot slot, std::stop_token stop);
  // It is read within a second or so.
  bool IsSmall(Slot slot) const;
  // Sets checked_ and damage_; what is damaged counts as missing from then on.
  Verdict LookForDamage(Slot slot, std::stop_token stop);
  void ShowDamage();
  void GiveUpRepair();
  // What was shown before the damage, and this.
  void ShowAsBefore(const std::string& and_now);
  // Where reload_ asks for it: what runs is loaded again.
  Verdict Reload(Slot slot, std::stop_token stop);
  // What becomes of the record of an activation that does not count.
  static void Blame(ModelRecord& record, const Verdict& why);
  static Verdict Blamed(const ModelRecord& record);
  Verdict Save(const ModelRecord& record);
  // Settled: by itself it does not pass.
  Step Fail(const Verdict& why);
  void Show(v1::ModelStatus::Phase phase, std::optional<Reason> reason = {},
            std::string_view detail = "");
  void ShowProgress(const DownloadProgress& progress);
  void ShowWaiting(const Verdict& why);

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
  Verdict prove_error_;
  Turns::Turn turn_;
  std::optional<Digest> checked_;  // read back in this process, damaged or whole
  struct Damage {
    Digest artifact;
    size_t chunks, of;
  };
  std::optional<Damage> damage_;         // of what is current
  std::optional<Digest> beyond_repair_;  // damaged, and it does not come: in this run
  bool reload_ = false;                  // what runs was loaded from damaged bytes
  std::optional<v1::ModelStatus> before_damage_;
  std::optional<Duration> soak_left_;  // of record_, which runs and was proven but for this

  mutable std::mutex mutex_;  // guards what follows
  v1::ModelStatus status_;
  Verdict refusal_;  // of the last statement; ok: it was accepted
};

}  // namespace quantfleet::agent
