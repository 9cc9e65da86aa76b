// Runs models with the embedded engine behind the local completion server. Thread-safe.
#pragma once

#include "agent/serve/completion_server.h"
#include "agent/update/model_host.h"

namespace quantfleet::agent {

class EngineHost final : public ModelHost {
 public:
  EngineHost(CompletionServer& server, EngineOptions options) : server_(server), options_(options) {}

  absl::StatusOr<Health> Start(const std::string& model, const fs::path& files,
                               const v1::Manifest& manifest) override;
  void Stop(const std::string& model) override { server_.RemoveModel(model); }
  std::string endpoint() const override { return server_.endpoint(); }

 private:
  CompletionServer& server_;
  const EngineOptions options_;
};

}  // namespace quantfleet::agent
