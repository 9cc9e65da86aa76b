// Runs each model as its assignment asks: with the embedded engine, or with a program that this
// device allows. Thread-safe.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <set>

#include "agent/engine_host.h"
#include "agent/external/ask_http.h"
#include "agent/external/supervisor.h"

namespace quantfleet::agent {

// The programs that an assignment may name. The device's owner says which: a daemon that could send
// any command line would own the device.
using AllowedRuntimes = std::map<std::string, fs::path, std::less<>>;

// "NAME=/PATH" each. INVALID_ARGUMENT names the one that is wrong.
absl::StatusOr<AllowedRuntimes> ParseAllowedRuntimes(const std::vector<std::string>& words);

class ModelHosts final : public ModelHost {
 public:
  struct Options {
    AllowedRuntimes allowed;
    int threads = 0;   // {threads}
    fs::path sockets;  // the folder for {socket}, and for what runtimes write; exists
    uint64_t runtime_disk_bytes = 0;  // what each of them may keep there; 0: no limit
  };
  struct World {
    const Clock& clock;
    Random& random;
    Sleeper& sleeper;
    std::function<void(const std::string& model, std::string_view line)>
        log;                            // of a runtime; on its own thread
    std::function<void()> on_given_up;  // on its own thread
  };

  ModelHosts(EngineHost engine, CompletionServer& server, Options options, World world)
      : engine_(std::move(engine)),
        server_(server),
        options_(std::move(options)),
        world_(std::move(world)) {}
  ~ModelHosts() override { StopAll(); }

  Verdict MayRun(const std::optional<v1::Runtime>& runtime) const override;
  Tried<Health> Start(const std::string& model, const Installed& installed, const HealthGate& gate,
                      std::stop_token stop) override;
  void Stop(const std::string& model) override;
  uint64_t MemoryFor(const std::string& model) const override;
  Verdict StillHealthy(const std::string& model, const HealthGate& gate,
                       std::stop_token stop) const override;
  Verdict Condition(const std::string& model) const override;
  std::string endpoint(const std::string&) const override { return server_.endpoint(); }
  // Ends all runtimes; answers under way have until their stop timeouts.
  void StopAll();

 private:
  using SupervisorPtr = std::unique_ptr<Supervisor>;
  RuntimeOrder OrderFor(const std::string& model, const Installed& installed) const;
  struct Said {
    absl::StatusOr<HttpAnswer> answer;
    Duration took;
  };
  // Asks for a few words there, as a chat if the server has no completions; an embedding model for
  // the vector of some.
  Said Ask(const std::string& address, const std::string& model, bool embeds, int tokens,
           Duration most, std::stop_token stop) const;
  // Asks it and checks the result against the gate.
  Tried<Health> Prove(const std::string& model, const Supervisor& runtime,
                      const Installed& installed, HealthGate gate, std::stop_token stop) const;
  // Whether it says the golden answers' words where the artifact did, where it was made: text for
  // a health's note. kHealthFailed: it says none of several. Other arithmetic changes one now and
  // then, so that more is not asked.
  Tried<std::string> CheckGolden(const std::string& model, const Supervisor& runtime,
                                 const fs::path& files, const std::vector<v1::GoldenPrompt>& golden,
                                 std::stop_token stop) const;
  bool Embeds(const std::string& model) const;
  // Puts `next` (nullptr: nothing) in place of the model's runtime and ends the old one. `embeds`:
  // what answers from now on is an embedding model.
  void Replace(const std::string& model, SupervisorPtr next, bool embeds);

  EngineHost engine_;
  CompletionServer& server_;
  const Options options_;
  const World world_;
  mutable std::mutex mutex_;  // guards what follows
  std::map<std::string, SupervisorPtr> runtimes_;
  struct Embedded {
    uint64_t buffers;  // that the engine keeps besides the file
    std::weak_ptr<engine::Engine> engine;
  };
  std::map<std::string, Embedded> embedded_;
  std::set<std::string> embedding_models_;  // of those that run
  uint64_t sockets_made_ = 0;
};

}  // namespace quantfleet::agent
