// An OpenAI-compatible endpoint on loopback or a unix socket: POST /v1/completions, POST
// /v1/chat/completions, GET /v1/models, GET /health, GET /metrics. Models come and go while it
// listens; an answer that has begun is finished by the model that began it. Whatever is posted
// under /v1 for a model that another server answers for is passed to that server unchanged, and so
// is its answer.
//
// One thread for the network, one for the engines. Thread-safe.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "agent/serve/generation_queue.h"
#include "agent/serve/upstream.h"
#include "common/base/clock.h"
#include "common/base/random.h"
#include "engine/decode/engine.h"

namespace quantfleet::agent {

class CompletionServer {
 public:
  struct Options {
    // Loopback, or "unix:PATH" (mode 0600): whoever reaches it may use the models.
    std::string listen = "127.0.0.1:0";
    std::string version;  // of the program, for /metrics
    // Models without a chat template are given the contents of a chat's messages as they are; else
    // their chats are refused.
    bool plain_chat = false;
    uint64_t most_body_bytes = 1 << 20;
    // Beyond this the connection that has waited longest for a request is closed for a new one;
    // where all have a request, the new one is refused.
    size_t most_connections = 64;
    GenerationQueue::Limits queue;
    std::chrono::milliseconds read_timeout{60'000};   // for a whole request, and between requests
    std::chrono::milliseconds write_timeout{30'000};  // for a client to take what is ready
    std::chrono::milliseconds most_drain{10'000};     // for answers that are under way at the end
  };

  // INVALID_ARGUMENT: not a loopback address. UNAVAILABLE: it is taken. Clock and random outlive
  // the server.
  static absl::StatusOr<std::unique_ptr<CompletionServer>> Start(const Options& options,
                                                                 const Clock& clock,
                                                                 Random& random);
  // Takes no more requests, finishes those under way within most_drain, closes connections, ends
  // both threads.
  ~CompletionServer();

  bool plain_chat() const;       // as Options has it
  std::string endpoint() const;  // "127.0.0.1:port", "unix:PATH"
  void SetModel(const std::string& name, std::shared_ptr<engine::Engine> engine);
  void SetModel(const std::string& name, std::shared_ptr<Upstream> upstream);
  void RemoveModel(const std::string& name);
  std::vector<std::string> models() const;

 private:
  struct Impl;
  explicit CompletionServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace quantfleet::agent
