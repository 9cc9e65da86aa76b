// Devices that take part in rollouts: they check in, hear of releases, fetch what these name, and
// tell how it went.
//
// Thread-safe. What a device does next follows in the answers' callbacks; pulls of blobs block and
// have threads of their own. AwaitQuiet before it is destroyed.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "tests/bench/loadgen/crowd.h"

namespace quantfleet::loadgen {

class SimulatedFleet {
 public:
  struct Fates {
    std::string model;
    double failures = 0, pulls = 0;  // shares of the devices, drawn with `seed`
    uint64_t seed = 1;
  };
  SimulatedFleet(const Target& target, const std::vector<Identity>& identities,
                 std::vector<Line> lines, const Fates& fates);
  ~SimulatedFleet();

  size_t size() const { return devices_.size(); }
  size_t to_fail() const { return to_fail_; }
  void CheckIn(size_t device, SteadyTime due);
  // No call is under way and nothing waits to be pulled; false after `timeout`.
  bool AwaitQuiet(std::chrono::milliseconds timeout);

  const Outcomes& check_ins() const { return check_ins_; }
  const Outcomes& artifacts() const { return artifacts_; }
  const Outcomes& blobs() const { return blobs_; }
  uint64_t pulled_bytes() const { return pulled_bytes_; }

 private:
  struct Device {
    Line line;
    const Identity* identity;
    bool fails = false, pulls = false;
    uint64_t release = 0;
    v1::ModelStatus status;  // of the model; told from the first release on
  };
  struct Pull {
    size_t device;
    v1::DeviceArtifact artifact;
    v1::Assignment assignment;
  };

  void Hear(size_t device, const v1::CheckInResponse& answer);
  void Take(size_t device, const v1::Assignment& assignment);
  void TryAgain(size_t device, const v1::Assignment& assignment);
  void Finish(size_t device, const v1::Assignment& assignment);
  void Tell(size_t device, const v1::ModelStatus& status);
  absl::Status Fetch(const Pull& pull);
  void Work();

  const Target target_;
  const std::string model_;
  size_t to_fail_ = 0;
  Outcomes check_ins_, artifacts_, blobs_;
  std::atomic<uint64_t> pulled_bytes_{0};
  std::mutex mutex_;  // guards what follows, but for the lines
  std::vector<Device> devices_;
  std::deque<Pull> pulls_;
  bool stopping_ = false;
  std::condition_variable wake_;
  std::vector<std::jthread> threads_;  // last: they use the others
};

}  // namespace quantfleet::loadgen
