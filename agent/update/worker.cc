#include "agent/update/worker.h"

#include <algorithm>

#include "common/trust/name.h"

namespace quantfleet::agent {
namespace {

// A device has a few models; more means that the daemon has gone wrong.
constexpr size_t kMaxModels = 64;

bool Same(const std::vector<v1::Signed>& a, const std::vector<v1::Signed>& b) {
  return std::ranges::equal(a, b, [](const v1::Signed& x, const v1::Signed& y) {
    return x.SerializeAsString() == y.SerializeAsString();
  });
}

}  // namespace

UpdateWorker::UpdateWorker(UpdateEnvironment environment, fs::path models, std::string device_id)
    : environment_(std::move(environment)),
      models_(std::move(models)),
      device_id_(std::move(device_id)) {}

UpdateWorker::~UpdateWorker() { Stop(); }

void UpdateWorker::Start() {
  thread_ = std::jthread([this](std::stop_token stop) { Work(stop); });
}

void UpdateWorker::Stop() {
  {
    std::lock_guard lock(mutex_);
    thread_.request_stop();
    run_stop_.request_stop();
  }
  if (thread_.joinable()) thread_.join();
}

void UpdateWorker::Hand(std::vector<v1::Signed> assignments) {
  std::lock_guard lock(mutex_);
  if (Same(assignments, handed_)) return;
  handed_ = std::move(assignments);
  ++handed_version_;
  run_stop_.request_stop();
  wake_.notify_all();
}

void UpdateWorker::LookAgain() {
  std::lock_guard lock(mutex_);
  ++handed_version_;
  wake_.notify_all();
}

std::vector<v1::ModelStatus> UpdateWorker::statuses() const {
  std::lock_guard lock(mutex_);
  std::vector<v1::ModelStatus> all;
  for (const auto& [name, updater] : updaters_) all.push_back(updater->status());
  return all;
}

bool UpdateWorker::settled() const {
  std::lock_guard lock(mutex_);
  return booted_ && done_version_ == handed_version_;
}

Updater& UpdateWorker::UpdaterOf(const std::string& model) {
  std::lock_guard lock(mutex_);
  std::unique_ptr<Updater>& updater = updaters_[model];
  if (!updater) updater = std::make_unique<Updater>(environment_, model, models_ / model);
  return *updater;
}

void UpdateWorker::BootAll(std::stop_token stop) {
  const auto names = environment_.files.List(models_);
  if (!names.ok()) return;  // none yet
  for (const std::string& name : *names)
    if (trust::IsPlainName(name)) UpdaterOf(name).Boot(stop);
}

void UpdateWorker::TakeIn(const std::vector<v1::Signed>& assignments) {
  for (size_t i = 0; i < std::min(assignments.size(), kMaxModels); ++i) {
    const auto assignment = ReadAssignment(assignments[i], environment_.trust_root(), device_id_);
    if (assignment.ok()) {
      UpdaterOf(assignment->model).Accept(*assignment);
    } else if (const std::string model = ClaimedModel(assignments[i]); !model.empty()) {
      UpdaterOf(model).Refuse(kAssignmentRefused, Message(assignment.status()));
    }
  }
}

void UpdateWorker::Work(std::stop_token stop) {
  BootAll(stop);
  for (bool first = true; !stop.stop_requested(); first = false) {
    std::vector<v1::Signed> assignments;
    uint64_t version;
    std::stop_token run_stop;
    {
      std::unique_lock lock(mutex_);
      if (!first && !wake_.wait(lock, stop, [this] { return handed_version_ != done_version_; }))
        return;
      assignments = handed_;
      version = handed_version_;
      run_stop_ = std::stop_source();
      if (stop.stop_requested()) return;
      run_stop = run_stop_.get_token();
    }
    TakeIn(assignments);
    bool done = true;
    for (const auto& [name, updater] : updaters_) done = updater->Run(run_stop) && done;
    if (!done) continue;
    {
      std::lock_guard lock(mutex_);
      done_version_ = version;
      booted_ = true;
    }
    // The last change of status may have come before this: whoever waits for settled() looks again.
    environment_.on_change(v1::ModelStatus());
  }
}

}  // namespace quantfleet::agent
