// Runs the agent's own model, which is the agent: activating a release means becoming its program.
// Calls for other models are passed on. Thread-safe.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>

#include "agent/self/launcher.h"
#include "agent/update/model_host.h"

namespace quantfleet::agent {

class SelfHost final : public ModelHost {
 public:
  struct Options {
    fs::path state;
    fs::path self;        // this process's program
    std::string version;  // of this process
  };
  // How a program is tried before it takes over: as RunTrial.
  using Trial = std::function<Verdict(const fs::path& program, const Digest& manifest,
                                      const std::string& version, std::stop_token stop)>;
  struct World {
    FileSystem& files;
    ModelHost& models;  // runs all others; outlives this
    Trial trial;
    std::function<void()>
        on_restart;  // this process is to end cleanly and become another: BecomeCurrent
  };

  SelfHost(Options options, World world);

  Verdict MayRun(const std::optional<v1::Runtime>& runtime) const override {
    return world_.models.MayRun(runtime);
  }
  // For the agent: a program that passes its trial becomes the next one, and this process is asked
  // to become it, then waits for `stop`. Once started, that program waits for its first successful
  // check-in.
  Tried<Health> Start(const std::string& model, const Installed& installed, const HealthGate& gate,
                      std::stop_token stop) override;
  // For the agent: the installed program is to run again.
  void Stop(const std::string& model) override;
  uint64_t MemoryFor(const std::string& model) const override;
  Verdict StillHealthy(const std::string& model, const HealthGate& gate,
                       std::stop_token stop) const override;
  Verdict Condition(const std::string& model) const override;
  std::string endpoint(const std::string& model) const override;

  // The daemon has answered this process's check-in.
  void CheckedIn();
  // This process has come so far that its start counts as one that went well, if it is a proven
  // release; one that is not has to be answered by the daemon.
  void Lives();
  // This process is to become another.
  bool restarts() const;
  // The slot of this process's program: "a", "b", or "" for the installed one.
  std::string slot() const;

 private:
  Tried<Health> Become(const Digest& manifest, const fs::path& program, const std::string& version,
                       std::stop_token stop);
  Tried<Health> ProveSelf(const Digest& manifest, std::stop_token stop);
  Verdict CheckInstalled(const LaunchRecord& record, const std::string& version) const;
  void Restart();

  const Options options_;
  World world_;
  const fs::path folder_;
  const std::optional<Digest>
      own_;                   // the release that this process is; its slot may later hold another
  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable_any wake_;
  bool checked_in_ = false, restarts_ = false;
};

}  // namespace quantfleet::agent
