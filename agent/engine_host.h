// Runs models with the embedded engine behind the local completion server. Thread-safe.
#pragma once

#include <functional>

#include "agent/serve/completion_server.h"
#include "agent/update/model_host.h"

namespace quantfleet::agent {

class EngineHost final : public ModelHost {
 public:
  // `memory_available`: bytes that the machine has left, 0 where it does not know.
  EngineHost(CompletionServer& server, EngineOptions options, std::function<uint64_t()> memory_available)
      : server_(server), options_(options), memory_available_(std::move(memory_available)) {}

  absl::StatusOr<Health> Start(const std::string& model, const fs::path& files, const v1::Manifest& manifest,
                               const HealthGate& gate) override;
  void Stop(const std::string& model) override { server_.RemoveModel(model); }
  std::string endpoint() const override { return server_.endpoint(); }

 private:
  absl::StatusOr<Health> Measure(Engine& engine, const HealthGate& gate) const;

  CompletionServer& server_;
  const EngineOptions options_;
  const std::function<uint64_t()> memory_available_;
};

}  // namespace quantfleet::agent
