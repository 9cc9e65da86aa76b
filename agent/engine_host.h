// Runs models with the embedded engine behind the local completion server. Thread-safe.
#pragma once

#include <functional>
#include <memory>

#include "agent/serve/completion_server.h"
#include "agent/update/model_host.h"

namespace quantfleet::agent {

// How much a model has to say to show that it works: a few words are enough to see that weights,
// tokenizer and memory are sound, and few enough for a slow board.
inline constexpr std::string_view kHealthPrompt = "Once upon a time";
inline constexpr int64_t kHealthTokens = 16;

class EngineHost {
 public:
  // `memory_available`: bytes that the machine has left, 0 if unknown.
  EngineHost(CompletionServer& server, engine::EngineOptions options,
             std::function<uint64_t()> memory_available)
      : server_(server), options_(options), memory_available_(std::move(memory_available)) {}

  struct Started {
    Health health;
    std::weak_ptr<engine::Engine> engine;  // the server holds it
  };
  // As ModelHost::Start, for an artifact without a runtime. It does not wait for anything.
  Tried<Started> Start(const std::string& model, const Installed& installed,
                       const HealthGate& gate);
  uint64_t MemoryAvailable() const { return memory_available_(); }

 private:
  Tried<Health> Measure(engine::Engine& engine, const HealthGate& gate) const;

  CompletionServer& server_;
  const engine::EngineOptions options_;
  const std::function<uint64_t()> memory_available_;
};

}  // namespace quantfleet::agent
