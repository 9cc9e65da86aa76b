// The runner's interface (submit, get, cancel, watch) and the worker's loop. What a job does is in
// run_job.cc, calibrate_job.cc and seal_job.cc.
#include "daemon/jobs/job_runner.h"

#include <algorithm>

#include "daemon/fleet/device_class.h"
#include "daemon/jobs/job_target.h"
#include "daemon/jobs/model_place.h"
#include "pipeline/artifact/kind.h"
#include "pipeline/stage/plan.h"

namespace quantfleet::daemon {
namespace {

constexpr size_t kMaxClasses = 256;
constexpr std::string_view kNoCalibration = "none";

// What a job makes, and what it is calibrated on: "self", the name of a text, or nothing.
struct Order {
  std::vector<std::string> targets;
  std::string text;
};

// What a class has of calibrating. One that an earlier version stored and this one does not read
// has nothing.
DeviceClassSpec SpecOf(const v1::DeviceClass& stored) {
  auto spec = ParseDeviceClass(stored.toml());
  return spec.ok() ? *std::move(spec) : DeviceClassSpec();
}

// What the classes ask for, each once, in their order. Of the agent: whatever its model's folder
// holds.
absl::StatusOr<Order> OrderOf(Store& store, std::string_view model,
                              const std::vector<std::string>& classes, const JobRounding& wish) {
  Order order;
  if (pipeline::KindOfModel(model) == pipeline::ArtifactKind::kProgram) {
    order.targets.emplace_back(pipeline::kAgentFormat);
    if (classes.empty()) return order;
    return InvalidArgument(
        "{} is given to devices by their architecture: its jobs must not name device classes",
        model);
  }
  if (classes.empty()) return InvalidArgument("a job needs at least one device class");
  if (classes.size() > kMaxClasses)
    return InvalidArgument("a job for {} device classes; the maximum is {}", classes.size(),
                           kMaxClasses);
  std::optional<pipeline::Rounding> how;
  if (!wish.how.empty()) {
    QF_ASSIGN_OR_RETURN(how, pipeline::RoundingFromName(wish.how));
  }
  std::optional<bool> fold;
  if (!wish.fold.empty()) {
    QF_ASSIGN_OR_RETURN(fold, pipeline::FoldFromName(wish.fold));
  }
  std::string of_text;  // the class that named it
  for (const std::string& name : classes) {
    QF_ASSIGN_OR_RETURN(const v1::DeviceClass device_class,
                        store.Read([&](const Transaction& tx) { return tx.classes().Get(name); }));
    const std::string target = device_class.format() + ":" + device_class.recipe();
    auto spec = pipeline::ParseTargetSpec(target);
    if (!spec.ok()) return Annotate(spec.status(), fmt::format("device class {}", name));
    const DeviceClassSpec class_spec = SpecOf(device_class);
    const std::string text = wish.calibration == kNoCalibration ? ""
                             : wish.calibration.empty()         ? class_spec.calibration
                                                                : wish.calibration;
    if (text.empty() && Quantizes(*spec) && how && *how != pipeline::Rounding::kNearest)
      return InvalidArgument(
          "rounding by {} needs a calibration, and class {} has none: add `--calibration self`, or "
          "a text",
          wish.how, name);
    if (text.empty() && Quantizes(*spec) && fold.value_or(false))
      return InvalidArgument(
          "folding needs a calibration, and class {} has none: add `--calibration self`, or a text",
          name);
    if (!text.empty() && Quantizes(*spec)) {
      if (!of_text.empty() && text != order.text)
        return InvalidArgument(
            "class {} is calibrated on \"{}\" and class {} on \"{}\": submit a job for each of "
            "them, or choose one text for both with --calibration",
            of_text, order.text, name, text);
      of_text = name;
      order.text = text;
      spec->calibrated = true;
      spec->rounding = how.value_or(class_spec.rounding);
      spec->folded = fold.value_or(class_spec.fold);
    }
    if (std::string job_target = JobTarget(*spec);
        std::ranges::find(order.targets, job_target) == order.targets.end())
      order.targets.push_back(std::move(job_target));
  }
  // A pass makes all that is folded, or all that is not: the model is read twice at most.
  const auto folded = [](const std::string& target) {
    const auto spec = ParseJobTarget(target);
    return spec.ok() && spec->folded;
  };
  std::vector<std::string> in_order;
  for (const bool now : {false, true})
    std::ranges::copy_if(order.targets, std::back_inserter(in_order),
                         [&](const std::string& target) { return folded(target) == now; });
  order.targets = std::move(in_order);
  return order;
}

absl::Status CannotCollectWhile(const std::string& job) {
  return FailedPrecondition(
      "{} is running and may need any blob: wait until it has finished (the daemon also collects "
      "by itself once a day)",
      job);
}

}  // namespace

JobRunner::JobRunner(Collaborators with, Options options)
    : with_(with),
      options_(std::move(options)),
      texts_(with.files, options_.calibration_texts),
      evaluator_({with_.blobs, with_.files, with_.clock}, options_.evaluation, options_.scratch,
                 options_.threads, options_.memory_bytes),
      calibrator_(with_.files, with_.clock,
                  {options_.data / "calibrations", options_.threads, options_.memory_bytes}) {}

JobRunner::~JobRunner() { Stop(); }

absl::Status JobRunner::Start() {
  QF_RETURN_IF_ERROR(
      with_.store.Write([&](Transaction& tx) { return tx.jobs().RequeueRunning(); }).status());
  QF_RETURN_IF_ERROR(with_.blobs.RemoveTemporaries());
  stop_ = std::stop_source();
  {
    std::lock_guard lock(mutex_);
    working_ = true;
  }
  worker_ = std::thread([this, stop = stop_.get_token()] { Work(stop); });
  return absl::OkStatus();
}

void JobRunner::Stop() {
  stop_.request_stop();
  if (worker_.joinable()) worker_.join();
}

void JobRunner::Work(const std::stop_token& stop) {
  next_collection_ = with_.clock.Monotonic();
  while (!stop.stop_requested()) {
    {
      std::lock_guard lock(mutex_);
      work_ = false;
    }
    CollectBetweenJobs(stop);
    const auto claimed =
        with_.store.Write([&](Transaction& tx) { return tx.jobs().ClaimNextQueued(); });
    if (!claimed.ok() || !claimed->has_value()) {
      WaitForWork(stop, !claimed.ok());
      continue;
    }
    RefuseCollections((*claimed)->job.name());
    RunJob(**claimed, stop);
    std::lock_guard lock(mutex_);
    running_.clear();
  }
  RefuseCollections("");
}

void JobRunner::WaitForWork(const std::stop_token& stop, bool store_failed) {
  std::unique_lock lock(mutex_);
  const auto awaited = [this] { return work_; };
  if (store_failed)  // the disk may be full: look again later
    wake_.wait_for(lock, stop, kRetryAfterStoreError, awaited);
  else if (options_.collect_every > Duration::zero())
    wake_.wait_for(lock, stop, options_.collect_every, awaited);
  else
    wake_.wait(lock, stop, awaited);
}

absl::StatusOr<v1::Job> JobRunner::Submit(std::string_view request_id, std::string_view model,
                                          const std::vector<std::string>& device_classes,
                                          const JobRounding& rounding) {
  const Request request{"SubmitJob", std::string(request_id)};
  QF_ASSIGN_OR_RETURN(const auto known, with_.store.Read([&](const Transaction& tx) {
    return tx.requests().Find(request);
  }));
  if (known) return Get(*known);

  JobRecord record;
  QF_ASSIGN_OR_RETURN(Order order, OrderOf(with_.store, model, device_classes, rounding));
  record.targets = std::move(order.targets);
  record.job.set_name(with_.random.Id("jobs/"));
  record.job.set_model(std::string(model));
  record.job.set_state(v1::Job::QUEUED);
  record.job.set_created_ms(ToUnixMillis(with_.clock.Now()));
  record.job.mutable_progress()->set_eta_seconds(-1);
  for (const std::string& name : device_classes) record.job.add_device_classes(name);
  const std::lock_guard keeping(texts_mutex_);
  QF_RETURN_IF_ERROR(KeepText(order.text, rounding.text, record.job));
  // One transaction: the model's folder cannot be replaced and swept between the two.
  QF_ASSIGN_OR_RETURN(record, with_.store.Write([&](Transaction& tx) -> absl::StatusOr<JobRecord> {
    QF_ASSIGN_OR_RETURN(const v1::Model found, tx.models().Get(model));
    const fs::path place = PlaceOf(with_.files, options_.data, found.path());
    QF_RETURN_IF_ERROR(CheckFilesThere(with_.files, options_.data, model, place));
    record.source_path = found.path();
    record.job.set_model_version(found.version());
    return tx.jobs().Create(record, request);
  }));
  {
    std::lock_guard lock(mutex_);
    work_ = true;
  }
  wake_.notify_all();
  return record.job;
}

absl::Status JobRunner::KeepText(const std::string& name, const std::string& given, v1::Job& job) {
  if (name.empty()) {
    if (given.empty()) return absl::OkStatus();
    return InvalidArgument("a calibration text is given, but nothing is to be calibrated on it");
  }
  job.mutable_calibration()->set_text(name);
  if (name == kSelfText) return absl::OkStatus();
  QF_RETURN_IF_ERROR(CheckTextName(name));
  std::string text = given;
  if (text.empty()) {
    QF_ASSIGN_OR_RETURN(text, texts_.Read(name));
  }
  QF_RETURN_IF_ERROR(CheckText(name, text));
  if (text.find(evaluator_.text()) != std::string::npos)
    return InvalidArgument(
        "calibration text \"{}\" contains the text that artifacts are measured on, and would make "
        "them look better than they are: take it out, or choose another text",
        name);
  const Digest digest = HashText(text);
  job.mutable_calibration()->set_text_digest(digest.raw());
  return calibrator_.KeepText(digest, text);
}

void JobRunner::Overlay(v1::Job& job) {
  if (job.state() != v1::Job::RUNNING) return;
  std::lock_guard lock(mutex_);
  if (const auto live = live_.find(job.name()); live != live_.end())
    *job.mutable_progress() = live->second.progress;
}

absl::StatusOr<v1::Job> JobRunner::Get(std::string_view name) {
  QF_ASSIGN_OR_RETURN(JobRecord record,
                      with_.store.Read([&](const Transaction& tx) { return tx.jobs().Get(name); }));
  Overlay(record.job);
  return std::move(record.job);
}

absl::StatusOr<std::vector<v1::Job>> JobRunner::List(const Transaction& tx) {
  QF_ASSIGN_OR_RETURN(auto jobs, tx.jobs().List());
  for (v1::Job& job : jobs) Overlay(job);
  return jobs;
}

absl::StatusOr<v1::Job> JobRunner::Cancel(std::string_view name) {
  bool cancelled = false;
  QF_ASSIGN_OR_RETURN(const JobRecord record, with_.store.Write([&](Transaction& tx) {
    return tx.jobs().Update(name, [&](JobRecord& job) -> absl::Status {
      cancelled = job.job.state() == v1::Job::QUEUED;
      if (!cancelled) return absl::OkStatus();
      job.job.set_state(v1::Job::CANCELLED);
      job.job.set_done(true);
      job.job.set_finished_ms(ToUnixMillis(with_.clock.Now()));
      return absl::OkStatus();
    });
  }));
  if (cancelled) Publish(name);
  if (record.job.state() == v1::Job::RUNNING) {
    std::stop_source stop;
    {
      std::lock_guard lock(mutex_);
      Live& live = live_[record.job.name()];  // made here when the worker has claimed the job but
                                              // not begun it
      live.cancelled = true;
      stop = live.stop;
    }
    stop.request_stop();
  }
  return Get(name);
}

CollectOptions JobRunner::OptionsOfCollection() const {
  return {.forget_before_ms = ToUnixMillis(with_.clock.Now()) - options_.keep_abandoned.count()};
}

void JobRunner::CollectBetweenJobs(const std::stop_token& stop) {
  std::vector<Collection> asked;
  {
    std::lock_guard lock(mutex_);
    asked.swap(collections_);
  }
  const Duration now = with_.clock.Monotonic();
  const bool due = options_.collect_every > Duration::zero() && now >= next_collection_;
  if (!due && asked.empty()) return;
  CollectOptions options = OptionsOfCollection();
  options.stop = stop;
  absl::StatusOr<Collected> collected = CollectGarbage(with_.store, with_.blobs, options);
  AddCalibrations(collected, /*dry_run=*/false);
  next_collection_ = now + options_.collect_every;
  for (Collection& each : asked) each.set_value(collected);
  if (due && options_.on_collected) options_.on_collected(collected);
}

// From here on a job runs, or nothing runs any more.
void JobRunner::RefuseCollections(const std::string& running) {
  std::vector<Collection> asked;
  {
    std::lock_guard lock(mutex_);
    running_ = running;
    working_ = !running.empty();
    asked.swap(collections_);
  }
  const absl::Status status =
      running.empty() ? Unavailable("the daemon is stopping") : CannotCollectWhile(running);
  for (Collection& each : asked) each.set_value(status);
}

absl::StatusOr<Collected> JobRunner::Collect(bool dry_run) {
  if (dry_run) {
    CollectOptions options = OptionsOfCollection();
    options.dry_run = true;
    absl::StatusOr<Collected> collected = CollectGarbage(with_.store, with_.blobs, options);
    AddCalibrations(collected, dry_run);
    return collected;
  }
  std::string running;
  {
    std::lock_guard lock(mutex_);
    running = running_;
  }
  if (!running.empty()) {
    // Whoever saw the job finish may ask, even if the worker has not moved on from it yet.
    QF_ASSIGN_OR_RETURN(const JobRecord record, with_.store.Read([&](const Transaction& tx) {
      return tx.jobs().Get(running);
    }));
    if (!record.job.done()) return CannotCollectWhile(running);
  }
  std::future<absl::StatusOr<Collected>> result;
  {
    std::lock_guard lock(mutex_);
    if (!working_) return Unavailable("the daemon is stopping");
    result = collections_.emplace_back().get_future();
    work_ = true;
  }
  wake_.notify_all();
  return result.get();
}

Subscription JobRunner::Watch(std::string name, std::function<void(const v1::Job&)> on_job) {
  return feed_.Subscribe([name = std::move(name), on_job = std::move(on_job)](const v1::Job& job) {
    if (job.name() == name) on_job(job);
  });
}

void JobRunner::Publish(std::string_view name) {
  // A watcher that misses one event gets the next: errors of the store reach callers elsewhere.
  if (const auto job = Get(name); job.ok()) feed_.Publish(*job);
}

}  // namespace quantfleet::daemon
