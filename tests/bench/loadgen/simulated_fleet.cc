#include "tests/bench/loadgen/simulated_fleet.h"

#include <algorithm>
#include <numeric>

#include "common/base/digest.h"
#include "common/http/https_client.h"

namespace quantfleet::loadgen {
namespace {

constexpr int kPullThreads = 2;
constexpr auto kBlobTimeout = std::chrono::seconds(15);

// So many of `n`, as indices in random order.
std::vector<size_t> Draw(size_t n, double share, std::mt19937_64& random) {
  std::vector<size_t> all(n);
  std::iota(all.begin(), all.end(), size_t{0});
  std::ranges::shuffle(all, random);
  all.resize(std::min(n, static_cast<size_t>(share * static_cast<double>(n) + 0.5)));
  return all;
}

}  // namespace

SimulatedFleet::SimulatedFleet(const Target& target, const std::vector<Identity>& identities,
                               std::vector<Line> lines, const Fates& fates)
    : target_(target), model_(fates.model) {
  devices_.reserve(lines.size());
  for (size_t i = 0; i < lines.size(); ++i)
    devices_.push_back({.line = std::move(lines[i]), .identity = &identities[i], .status = {}});
  std::mt19937_64 random(fates.seed);
  for (const size_t device : Draw(devices_.size(), fates.failures, random)) {
    devices_[device].fails = true;
    ++to_fail_;
  }
  for (const size_t device : Draw(devices_.size(), fates.pulls, random))
    devices_[device].pulls = true;
  for (int i = 0; i < kPullThreads; ++i) threads_.emplace_back([this] { Work(); });
}

SimulatedFleet::~SimulatedFleet() {
  std::lock_guard lock(mutex_);
  stopping_ = true;
  wake_.notify_all();
}

void SimulatedFleet::CheckIn(size_t device, SteadyTime due) {
  v1::CheckInRequest request = NothingNew();
  {
    std::lock_guard lock(mutex_);
    if (devices_[device].release > 0) *request.add_models() = devices_[device].status;
  }
  check_ins_.Begin();
  devices_[device].line.CheckIn(std::move(request), [this, device, due](const auto& answer,
                                                                        Line::Facts) {
    if (answer.ok()) Hear(device, *answer);
    check_ins_.End(
        due,
        answer.status());  // behind what follows from it, so that all of it is under way until then
  });
}

void SimulatedFleet::Hear(size_t device, const v1::CheckInResponse& answer) {
  for (const v1::Signed& statement : answer.assignments()) {
    v1::Assignment assignment;
    if (!assignment.ParseFromString(statement.payload()) || assignment.model() != model_) continue;
    {
      std::lock_guard lock(mutex_);
      Device& d = devices_[device];
      if (assignment.release() <= d.release) continue;
      d.release = assignment.release();
      d.status.set_model(model_);
      d.status.set_release(d.release);
      d.status.set_assigned_manifest(assignment.manifest_digest());
      d.status.set_phase(v1::ModelStatus::DOWNLOADING);
    }
    Take(device, assignment);
  }
}

void SimulatedFleet::Take(size_t device, const v1::Assignment& assignment) {
  if (assignment.manifest_digest().empty()) return Finish(device, assignment);
  v1::GetDeviceArtifactRequest request;
  request.set_manifest_digest(assignment.manifest_digest());
  artifacts_.Begin();
  const SteadyTime due = std::chrono::steady_clock::now();
  devices_[device].line.GetArtifact(
      std::move(request), [this, device, due, assignment](auto answer) {
        absl::Status status = answer.status();
        if (status.ok() && HashText(answer->manifest()).raw() != assignment.manifest_digest())
          status = DataLoss("device {} got a manifest of another digest",
                            devices_[device].identity->device_id);
        if (status.ok()) {
          std::unique_lock lock(mutex_);
          if (devices_[device].pulls) {
            blobs_.Begin();
            pulls_.push_back({device, *std::move(answer), assignment});
            wake_.notify_one();
          } else {
            lock.unlock();
            Finish(device, assignment);
          }
        }
        if (!status.ok()) TryAgain(device, assignment);
        artifacts_.End(due, status);
      });
}

void SimulatedFleet::TryAgain(size_t device, const v1::Assignment& assignment) {
  std::lock_guard lock(mutex_);
  // As if it had not been heard: the next check-in says it again.
  if (devices_[device].release == assignment.release())
    devices_[device].release = assignment.release() - 1;
}

void SimulatedFleet::Finish(size_t device, const v1::Assignment& assignment) {
  {
    std::lock_guard lock(mutex_);
    Device& d = devices_[device];
    if (assignment.release() != d.release) return;  // told something newer meanwhile
    if (std::exchange(d.fails, false)) {            // once; the way back works
      d.status.set_phase(v1::ModelStatus::FAILED);
      d.status.set_reason("health_failed");
      d.status.set_detail("injected");
    } else {
      const bool removed = assignment.manifest_digest().empty();
      d.status.set_phase(removed ? v1::ModelStatus::REMOVED : v1::ModelStatus::HEALTHY);
      d.status.set_active_manifest(assignment.manifest_digest());
      d.status.clear_reason();
      d.status.clear_detail();
    }
  }
  CheckIn(device, std::chrono::steady_clock::now());
}

absl::Status SimulatedFleet::Fetch(const Pull& pull) {
  const Identity& identity = *devices_[pull.device].identity;
  http::HttpsClient client(target_.http,
                           {.ca_pem = target_.admin.ca_pem, .ca_fingerprint = {}, .time = {}},
                           {identity.certificate_pem, identity.private_pem});
  for (const v1::StoredChunk& chunk : pull.artifact.stored()) {
    uint64_t got = 0;
    const auto count = [&got](ByteSpan piece) -> absl::Status {
      got += piece.size();
      return absl::OkStatus();
    };
    const std::string target =
        fmt::format("/v1/blobs/{}.{}", ToHex(AsBytes(chunk.digest())), chunk.encoding());
    QF_RETURN_IF_ERROR(client.Get(target, 0, chunk.stored_size(), count, {kBlobTimeout}).status());
    if (got != chunk.stored_size())
      return DataLoss("{} has {} bytes, not {}", target, got, chunk.stored_size());
    pulled_bytes_ += got;
  }
  return absl::OkStatus();
}

void SimulatedFleet::Work() {
  for (;;) {
    std::unique_lock lock(mutex_);
    wake_.wait(lock, [this] { return stopping_ || !pulls_.empty(); });
    if (pulls_.empty()) return;
    const Pull pull = std::move(pulls_.front());
    pulls_.pop_front();
    lock.unlock();
    const SteadyTime due = std::chrono::steady_clock::now();
    const absl::Status fetched = Fetch(pull);
    fetched.ok() ? Finish(pull.device, pull.assignment) : TryAgain(pull.device, pull.assignment);
    blobs_.End(due, fetched);
  }
}

bool SimulatedFleet::AwaitQuiet(std::chrono::milliseconds timeout) {
  // Each kind may begin another: quiet is when none was under way in a whole round.
  const SteadyTime until = std::chrono::steady_clock::now() + timeout;
  const auto all_quiet = [this](std::chrono::milliseconds wait) {
    return check_ins_.AwaitUnderWay(0, wait) && artifacts_.AwaitUnderWay(0, wait) &&
           blobs_.AwaitUnderWay(0, wait);
  };
  while (std::chrono::steady_clock::now() < until) {
    if (all_quiet(std::chrono::milliseconds(100)) && all_quiet(std::chrono::milliseconds(0)))
      return true;
  }
  return false;
}

}  // namespace quantfleet::loadgen
