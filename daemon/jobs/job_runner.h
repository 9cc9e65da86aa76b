// Jobs: a model and device classes in, one artifact per distinct target out, in one pass over the
// weights, measured with the engine that devices run. A further pass makes larger ones for classes
// whose limits an artifact misses (step_up.h); what the earlier ones made is sealed before.
//
// QUEUED -> RUNNING -> SUCCEEDED, FAILED or CANCELLED, each step a transaction. One worker thread,
// owned by the runner, takes the jobs in order. Each slab's chunks are durable before the slab is
// recorded; after a restart a job that was running resumes from its recorded slabs and gives the
// same digests. Between jobs the same worker collects garbage, periodically and on request.
// Thread-safe; collaborators must outlive the runner.
#pragma once

#include <condition_variable>
#include <functional>
#include <future>
#include <map>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/random.h"
#include "daemon/fleet/calibration_texts.h"
#include "daemon/fleet/device_class.h"
#include "daemon/jobs/calibrator.h"
#include "daemon/jobs/evaluator.h"
#include "daemon/jobs/garbage.h"
#include "daemon/store/feed.h"
#include "daemon/store/store.h"
#include "daemon/trust/authority.h"
#include "pipeline/artifact/blob_store.h"
#include "pipeline/model/calibration.h"
#include "pipeline/stage/executor.h"
#include "pipeline/stage/fold.h"

namespace quantfleet::daemon {

// What a job takes in place of what its classes say; empty: what they say.
struct JobRounding {
  std::string calibration = {};  // "none", "self", or a text's name
  std::string text = {};         // of that name; empty: one of the daemon's texts
  std::string how = {};          // "nearest", "search" or "feedback"
  std::string fold = {};         // "auto" or "none"
};

class JobRunner {
 public:
  struct Options {
    uint64_t memory_bytes = uint64_t{512} << 20;
    int threads = 0;  // 0: as many as cores
    EvaluationOptions evaluation;
    fs::path scratch;            // the evaluation's own folder
    fs::path data;               // the daemon's folder: pushed models lie in it (model_place.h)
    fs::path calibration_texts;  // that classes and jobs may name; empty: there are none
    Duration collect_every =
        std::chrono::hours(24);  // for garbage, first at the start; zero: only on request
    Duration keep_abandoned =
        std::chrono::hours(7 * 24);  // slabs of failed and cancelled jobs, to be resumed
    // Called after each periodic collection, on the worker's thread.
    std::function<void(const absl::StatusOr<Collected>&)> on_collected;
    // For tests: called for every slab that is recorded (not for those that an earlier run
    // recorded).
    std::function<void(size_t slab)> on_slab_recorded;
  };
  struct Collaborators {
    Store& store;
    const Authority& authority;
    pipeline::BlobStore& blobs;
    FileSystem& files;
    Random& random;
    const Clock& clock;
  };

  JobRunner(Collaborators with, Options options);
  ~JobRunner();  // Stop()

  // What an earlier process left RUNNING is queued again; then the worker starts.
  absl::Status Start();
  // The worker ends after the slabs that it has begun; its job resumes at the next Start, in this
  // process or another. Idempotent.
  void Stop();
  // The same without waiting for it; from any thread.
  void RequestStop() { stop_.request_stop(); }

  // For the agent's own model no classes are given: it becomes one artifact per program.
  absl::StatusOr<v1::Job> Submit(std::string_view request_id, std::string_view model,
                                 const std::vector<std::string>& device_classes,
                                 const JobRounding& rounding = {});
  // With live progress.
  absl::StatusOr<v1::Job> Get(std::string_view name);
  absl::StatusOr<std::vector<v1::Job>> List(const Transaction& tx);  // newest first
  // A queued job is CANCELLED at once, a running one soon after (watch it); a finished one stays as
  // it is.
  absl::StatusOr<v1::Job> Cancel(std::string_view name);

  // ---- repair.cc
  // Queues jobs that make damaged artifacts again, those of the same files in one; each as the one
  // that made it, from the same files. For each artifact the job, which may be under way already,
  // or why there is none: NOT_FOUND, FAILED_PRECONDITION when it is whole or its files are gone.
  std::vector<std::pair<std::string, absl::StatusOr<v1::Job>>> Repair(
      const std::vector<std::string>& artifacts);

  // FAILED_PRECONDITION while a job runs, except for a dry run; blocks until it is done.
  absl::StatusOr<Collected> Collect(bool dry_run);

  // `on_job` gets the job at each change of state and a few times a second while it progresses, on
  // the runner's threads; see Feed for its duties. Watch first, then Get: nothing is missed.
  [[nodiscard]] Subscription Watch(std::string name, std::function<void(const v1::Job&)> on_job);

 private:
  static constexpr std::chrono::seconds kRetryAfterStoreError{5};
  static constexpr Duration kPublishInterval{200};

  // Of the running job, in memory only.
  struct Live {
    v1::JobProgress progress;
    std::stop_source stop;
    bool cancelled = false;
    Duration published{};  // when watchers were last called
    std::optional<std::pair<Duration, uint64_t>>
        first;  // time, and bytes that this run has read, at the first report: for the rate
  };

  using Collection = std::promise<absl::StatusOr<Collected>>;

  void Work(const std::stop_token& stop);
  void WaitForWork(const std::stop_token& stop, bool store_failed);
  void CollectBetweenJobs(const std::stop_token& stop);
  void RefuseCollections(const std::string& running);
  CollectOptions OptionsOfCollection() const;
  void RunJob(const JobRecord& record, const std::stop_token& stop);
  absl::Status Execute(JobRecord record, const std::stop_token& stop);
  // Makes and seals the targets that are left and can be made of one reading of the model, and ends
  // the job unless others are left or classes step up.
  absl::Status RunPass(JobRecord record, const std::stop_token& stop);
  // Before anything is made: the bytes that classes allow.
  absl::Status BoundBytes(JobRecord& record, const pipeline::ModelSource& source);
  absl::StatusOr<std::vector<v1::Manifest>> MakeTargets(JobRecord& record,
                                                        const pipeline::ModelSource& source,
                                                        const pipeline::Plan& plan,
                                                        const std::stop_token& stop);
  // The job's classes that there still are.
  absl::StatusOr<std::vector<DeviceClassSpec>> ClassesOf(const Transaction& tx,
                                                         const v1::Job& job) const;
  absl::StatusOr<fs::path> SourceOf(const JobRecord& record) const;
  absl::Status SealAgents(const JobRecord& record, const std::stop_token& stop);
  absl::Status CheckPlan(JobRecord& record, const pipeline::ModelSource& source,
                         const pipeline::Plan& plan);
  absl::Status FinishBadly(const std::string& name, const absl::Status& status, bool cancelled);
  // ---- calibrate_job.cc
  // What the record's targets need of a calibration, made, found or gone on with. Where a model
  // cannot be calibrated on its own text, they become plain, and the job says so.
  absl::StatusOr<pipeline::Calibration> CalibrateFor(JobRecord& record,
                                                     const pipeline::ModelSource& source,
                                                     const pipeline::ModelFiles& files,
                                                     const std::stop_token& stop);
  absl::StatusOr<pipeline::Calibration> MakeOrFindCalibration(JobRecord& record,
                                                              const Calibrator::Model& model,
                                                              const std::stop_token& stop);
  // The fold of the targets that are next, null where they are not folded; the calibration becomes
  // that of the folded model. Where none can be chosen they stay as they are, and the job says so.
  absl::StatusOr<std::shared_ptr<const pipeline::Fold>> FoldFor(JobRecord& record,
                                                                const pipeline::ModelSource& source,
                                                                pipeline::Calibration& calibration,
                                                                const std::stop_token& stop);
  // What the run has to say of tensors, and which artifacts it was to repair and did not make.
  absl::Status NoteResult(JobRecord& record, const pipeline::ExecutorResult& result);
  // Targets, steps, calibration and notes of the record are those of the stored one.
  absl::Status KeepDecisions(const JobRecord& record);
  absl::StatusOr<uint64_t> CollectCalibrations(bool dry_run);
  // Collects them too: a failure takes the place of the result.
  void AddCalibrations(absl::StatusOr<Collected>& collected, bool dry_run);
  // The text that the job is calibrated on, so that a restart finds it; `given` is empty for one of
  // the daemon's texts. INVALID_ARGUMENT: it cannot be used. With texts_mutex_ held.
  absl::Status KeepText(const std::string& name, const std::string& given, v1::Job& job);

  // ---- seal_job.cc
  struct Measured {
    std::vector<std::vector<v1::EvaluationStatement>>
        statements;     // per manifest, in the order of WantedOf
    std::string error;  // why one has none
  };
  // What a pass has made, and what follows from that.
  struct Made {
    std::vector<v1::Manifest> manifests;
    bool no_tokenizer = false;
    std::vector<v1::StepUp> step_ups = {};
    bool last = true;  // pass of the job
  };
  absl::StatusOr<Measured> Measure(const JobRecord& job, const pipeline::ModelSource& source,
                                   const std::vector<v1::Manifest>& manifests,
                                   const std::stop_token& stop);
  // What to measure of this artifact: once for each KV cache that the job's classes run, with short
  // and long contexts where these differ.
  absl::StatusOr<std::vector<Evaluator::Wanted>> WantedOf(const JobRecord& job,
                                                          const v1::Manifest& manifest);
  // Which classes' limits the manifests miss, and what is to be made for these.
  absl::StatusOr<std::vector<v1::StepUp>> DecideStepUps(const JobRecord& job,
                                                        const pipeline::ModelSource& source,
                                                        const std::vector<v1::Manifest>& manifests,
                                                        const Measured& measured);
  absl::Status Seal(const JobRecord& record, const Made& made, const Measured& measured);
  absl::StatusOr<ArtifactRecord> MakeArtifact(const v1::Job& job, const v1::Manifest& manifest);
  void SetStage(const std::string& name, std::string_view stage);
  void OnProgress(const std::string& name, const pipeline::Progress& progress);
  void OnStep(const std::string& name, uint64_t done, uint64_t all);  // of calibrating
  void Publish(std::string_view name);
  void Overlay(v1::Job& job);
  struct Mend {         // how an artifact is made again
    v1::Job under_way;  // no name: nobody does so yet
    JobRecord record;
  };
  struct Known {  // what repairs are planned by
    std::vector<v1::Artifact> artifacts;
    std::vector<v1::Job> jobs;  // newest first
  };
  absl::StatusOr<Mend> PlanRepair(const Known& known, const std::string& artifact);

  const Collaborators with_;
  const Options options_;
  const CalibrationTexts texts_;
  std::mutex texts_mutex_;  // a text is kept, and its job made, with no collection in between
  Evaluator evaluator_;     // the worker's
  Calibrator calibrator_;   // the worker's; texts may be kept from any thread

  std::mutex mutex_;  // guards what follows, down to collections_; never held while the store or a
                      // watcher is called
  std::condition_variable_any wake_;
  std::map<std::string, Live, std::less<>> live_;  // by job
  bool working_ = false;                           // there is a worker that can be asked
  bool work_ = false;                              // something was queued
  std::string running_;                            // the worker's job; empty between jobs
  std::vector<Collection> collections_;            // asked for
  Feed<v1::Job> feed_;
  std::stop_source stop_;
  Duration next_collection_{};  // Clock::Monotonic; the worker's
  std::thread worker_;
};

}  // namespace quantfleet::daemon
