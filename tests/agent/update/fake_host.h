// A host that runs anything or nothing, as the test says, and remembers what it was asked. For
// tests; not thread-safe.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>

#include "agent/update/model_host.h"
#include "common/base/file.h"

namespace quantfleet::agent {

class FakeHost final : public ModelHost {
 public:
  Verdict MayRun(const std::optional<v1::Runtime>& runtime) const override {
    return runtime && !allowed.contains(runtime->command())
               ? Verdict(Reason::kRuntimeRefused, "allow it first")
               : Verdict();
  }
  Tried<Health> Start(const std::string& model, const Installed& installed, const HealthGate& gate,
                      std::stop_token) override {
    ++starts;
    const auto content =
        RealFileSystem().ReadAll(installed.files / installed.manifest.files(0).path());
    if (!content.ok()) return OfDisk(content.status());
    if (sick.contains(*content))
      return Verdict(Reason::kHealthFailed, "the model generated no text");
    golden_asked = gate.golden.size();
    context = installed.context;
    kv_type = installed.kv_type;
    if (const auto found = sick_with.find(*content); found != sick_with.end()) return found->second;
    QF_RETURN_IF_SETBACK(gate.Check(health));
    if (installed.runtime && sick_runtimes.contains(installed.runtime->command()))
      return Verdict(Reason::kHealthFailed, "the program ended");
    if (on_start) QF_RETURN_IF_SETBACK(on_start());
    running[model] = *content;
    runtimes[model] = installed.runtime ? installed.runtime->command() : "";
    return health;
  }
  void Stop(const std::string& model) override { running.erase(model); }
  uint64_t MemoryFor(const std::string&) const override { return memory; }
  Verdict StillHealthy(const std::string&, const HealthGate& gate, std::stop_token) const override {
    ++looks;
    QF_RETURN_IF_SETBACK(gate.CheckMemory(health.memory_available_bytes));
    return still_healthy;
  }
  Verdict Condition(const std::string&) const override { return condition; }
  std::string endpoint(const std::string&) const override { return "127.0.0.1:4242"; }

  Health health{.tokens_per_second = 12.5};  // what it sees of every model
  std::set<std::string> sick;                // contents that never become healthy
  std::map<std::string, Verdict> sick_with;  // and why
  Verdict still_healthy;
  mutable int looks = 0;                        // at what soaks
  std::map<std::string, std::string> running;   // model -> content of its first file
  std::map<std::string, std::string> runtimes;  // model -> command; "": the agent's own engine
  std::set<std::string> allowed, sick_runtimes;
  std::function<Verdict()> on_start;
  Verdict condition;
  int starts = 0;
  uint64_t memory = 0, context = 0;  // there is; at the last start
  std::string kv_type;               // at the last start
  size_t golden_asked = 0;           // at the last start
};

}  // namespace quantfleet::agent
