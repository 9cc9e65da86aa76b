#include "daemon/app/chronicle.h"

#include <algorithm>

#include "common/base/status.h"

namespace quantfleet::daemon::app {
namespace {

constexpr size_t kRows = 1000, kMostKnown = 10'000;

std::string Listed(const google::protobuf::RepeatedPtrField<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text.append(text.empty() ? "" : ",").append(name);
  return text;
}

bool IsTold(v1::RolloutDevice::State state) {
  return state == v1::RolloutDevice::PENDING || state == v1::RolloutDevice::HEALTHY ||
         state == v1::RolloutDevice::FAILED || state == v1::RolloutDevice::SKIPPED ||
         state == v1::RolloutDevice::ROLLED_BACK;
}

Event OfRow(const v1::Rollout& rollout, const v1::RolloutDevice& row) {
  return {"device",
          {{"device", "devices/" + row.device_id()},
           {"state", v1::RolloutDevice::State_Name(row.state())},
           {"rollout", rollout.name()},
           {"model", "models/" + rollout.model()},
           {"release", row.release() == 0 ? "" : std::to_string(row.release())},
           {"artifact", row.artifact()},
           {"code", row.code() == v1::RolloutDevice::CODE_UNSPECIFIED
                        ? ""
                        : v1::RolloutDevice::Code_Name(row.code())},
           {"reason", row.reason()}}};
}

}  // namespace

Chronicle::Chronicle(Store& store, EventLog log) : store_(store), log_(std::move(log)) {
  // What is under way already is known, and not told again.
  store_
      .Read([&](const Transaction& tx) -> absl::Status {
        QF_ASSIGN_OR_RETURN(const std::vector<std::string> active, tx.rollouts().ListActive());
        for (const std::string& name : active)
          if (const auto now = tx.rollouts().GetChanges(name, std::nullopt, 1); now.ok())
            rollouts_[name] = {now->revision(), now->state(), now->phase()};
        return absl::OkStatus();
      })
      .IgnoreError();
  subscription_ = store_.changes().Subscribe([this](const Change& change) {
    if (change.kind != Change::Kind::kJob && change.kind != Change::Kind::kRollout) return;
    std::lock_guard lock(mutex_);
    if (changed_.emplace(change.kind, change.name).second) wake_.notify_one();
  });
  thread_ = std::thread([this] { Work(); });
}

Chronicle::~Chronicle() {
  subscription_.Cancel();
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void Chronicle::Work() {
  for (;;) {
    std::set<std::pair<Change::Kind, std::string>> changed;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return stopping_ || !changed_.empty(); });
      if (changed_.empty()) return;
      changed.swap(changed_);
    }
    for (const auto& [kind, name] : changed)
      kind == Change::Kind::kJob ? TellJob(name) : TellRollout(name);
  }
}

void Chronicle::TellJob(const std::string& name) {
  const auto read = store_.Read([&](const Transaction& tx) { return tx.jobs().Get(name); });
  if (!read.ok()) return;  // gone, or told by whoever needs it
  const v1::Job& job = read->job;
  if (jobs_.size() > kMostKnown) jobs_.clear();
  const auto [known, is_new] = jobs_.emplace(name, job.state());
  if (!is_new && std::exchange(known->second, job.state()) == job.state()) return;
  log_({"job",
        {{"job", name},
         {"state", v1::Job::State_Name(job.state())},
         {"model", "models/" + job.model()},
         {"version", job.model_version() == 0 ? "" : std::to_string(job.model_version())},
         {"classes", Listed(job.device_classes())},
         {"artifacts", Listed(job.artifacts())},
         {"error", job.error_message()}}});
}

void Chronicle::TellRollout(const std::string& name) {
  if (rollouts_.size() > kMostKnown) rollouts_.clear();
  const auto [at, is_new] = rollouts_.emplace(name, KnownRollout{});
  KnownRollout& known = at->second;
  bool first = is_new;
  for (;;) {
    const auto now = store_.Read([&](const Transaction& tx) {
      return tx.rollouts().GetChanges(name, known.revision, kRows);
    });
    if (!now.ok()) return;
    if (std::exchange(first, false) || known.state != now->state() || known.phase != now->phase())
      log_({"rollout",
            {{"rollout", name},
             {"state", v1::Rollout::State_Name(now->state())},
             {"model", "models/" + now->model()},
             {"version", now->version() == 0 ? "" : std::to_string(now->version())},
             {"phase", fmt::format("{}/{}", now->phase() + 1, now->plan().phases_size())},
             {"artifacts", Listed(now->artifacts())},
             {"reason", now->reason()}}});
    for (const v1::RolloutDevice& row : now->devices())
      if (IsTold(row.state())) log_(OfRow(*now, row));
    known = {now->revision(), now->state(), now->phase()};
    if (static_cast<size_t>(now->devices_size()) < kRows) return;
  }
}

}  // namespace quantfleet::daemon::app
