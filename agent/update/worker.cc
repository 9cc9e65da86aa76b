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
  const auto names = environment_.files.List(models_);
  std::lock_guard lock(mutex_);
  if (names.ok())  // else none yet
    for (const std::string& name : *names)
      if (trust::IsPlainName(name)) LaneOf(name);
  started_ = true;
}

void UpdateWorker::Stop() {
  std::vector<std::jthread*> threads;
  {
    std::lock_guard lock(mutex_);
    stopped_ = true;
    for (const auto& [name, lane] : lanes_) {
      lane->thread.request_stop();
      lane->run_stop.request_stop();
      threads.push_back(&lane->thread);
    }
  }
  for (std::jthread* thread : threads)
    if (thread->joinable()) thread->join();
}

UpdateWorker::Lane& UpdateWorker::LaneOf(const std::string& model) {
  std::unique_ptr<Lane>& lane = lanes_[model];
  if (!lane) {
    lane = std::make_unique<Lane>(environment_, model, models_ / model);
    if (!stopped_)
      lane->thread =
          std::jthread([this, mine = lane.get()](std::stop_token stop) { Work(*mine, stop); });
  }
  return *lane;
}

void UpdateWorker::Hand(const std::vector<v1::Signed>& assignments) {
  std::map<std::string, std::vector<v1::Signed>> by_model;
  for (size_t i = 0; i < std::min(assignments.size(), kMaxModels); ++i)
    if (const std::string model = ClaimedModel(assignments[i]); !model.empty())
      by_model[model].push_back(assignments[i]);
  std::lock_guard lock(mutex_);
  for (auto& [model, statements] : by_model) {
    if (!lanes_.contains(model) && lanes_.size() >= kMaxModels) continue;
    Lane& lane = LaneOf(model);
    if (Same(statements, lane.handed)) continue;
    lane.handed = std::move(statements);
    ++lane.version;
    lane.run_stop.request_stop();
  }
  wake_.notify_all();
}

void UpdateWorker::LookAgain() {
  std::lock_guard lock(mutex_);
  for (const auto& [name, lane] : lanes_) ++lane->version;
  wake_.notify_all();
}

std::vector<v1::ModelStatus> UpdateWorker::statuses() const {
  std::lock_guard lock(mutex_);
  std::vector<v1::ModelStatus> all;
  for (const auto& [name, lane] : lanes_)
    if (v1::ModelStatus status = lane->updater.status();
        status.phase() != 0 || status.release() != 0)
      all.push_back(std::move(status));  // of others nothing is known yet
  return all;
}

bool UpdateWorker::settled() const {
  std::lock_guard lock(mutex_);
  return started_ && std::ranges::all_of(lanes_, [](const auto& lane) {
           return lane.second->done == lane.second->version;
         });
}

bool UpdateWorker::booted() const {
  std::lock_guard lock(mutex_);
  return started_ &&
         std::ranges::all_of(lanes_, [](const auto& lane) { return lane.second->booted; });
}

void UpdateWorker::TakeIn(Updater& updater, const std::vector<v1::Signed>& assignments) {
  for (const v1::Signed& statement : assignments) {
    const auto assignment = ReadAssignment(statement, environment_.trust_root(), device_id_);
    if (assignment.ok())
      updater.Accept(*assignment);
    else
      updater.Refuse(Reason::kAssignmentRefused, Message(assignment.status()));
  }
}

void UpdateWorker::Work(Lane& lane, std::stop_token stop) {
  lane.updater.Boot(stop);
  {
    std::lock_guard lock(mutex_);
    lane.booted = true;
  }
  for (;;) {
    std::vector<v1::Signed> assignments;
    uint64_t version;
    std::stop_token run_stop;
    {
      std::unique_lock lock(mutex_);
      if (!wake_.wait(lock, stop, [&] { return lane.version != lane.done; })) return;
      if (stop.stop_requested()) return;
      assignments = lane.handed;
      version = lane.version;
      lane.run_stop = std::stop_source();
      run_stop = lane.run_stop.get_token();
    }
    TakeIn(lane.updater, assignments);
    if (!lane.updater.Run(run_stop)) continue;
    {
      std::lock_guard lock(mutex_);
      lane.done = version;
    }
    // The last change of status may have come before this: whoever waits for settled() looks again.
    environment_.on_change(v1::ModelStatus());
  }
}

}  // namespace quantfleet::agent
