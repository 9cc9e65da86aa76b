// An OpenAI-compatible endpoint on loopback: POST /v1/completions, POST /v1/chat/completions, GET /v1/models,
// GET /health. Models come and go while it listens; an answer that has begun is finished by the model that
// began it.
//
// One thread for the network, one for the engines. Thread-safe.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "agent/runtime/engine.h"
#include "common/base/clock.h"
#include "common/base/random.h"

namespace quantfleet::agent {

class CompletionServer {
 public:
  struct Options {
    std::string listen = "127.0.0.1:0";  // loopback only: whoever reaches it may use the models
    uint64_t most_body_bytes = 1 << 20;
    size_t most_connections = 32;
    size_t most_waiting = 8;  // generations beside the one that runs
  };

  // INVALID_ARGUMENT: no loopback address. Clock and random outlive the server.
  static absl::StatusOr<std::unique_ptr<CompletionServer>> Start(const Options& options, const Clock& clock,
                                                                 Random& random);
  // Cancels what is being generated, closes connections, ends both threads.
  ~CompletionServer();

  std::string endpoint() const;  // "127.0.0.1:port"
  void SetModel(const std::string& name, std::shared_ptr<Engine> engine);
  void RemoveModel(const std::string& name);
  std::vector<std::string> models() const;

 private:
  struct Impl;
  explicit CompletionServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace quantfleet::agent
