// The running agent: checks in, keeps its models current, serves them. Composes identity, update
// and serve.
#pragma once

#include <stop_token>
#include <string>

#include "agent/identity/device_api.h"
#include "agent/model_hosts.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/random.h"
#include "quantfleet/v1/types.pb.h"

namespace quantfleet::agent {

struct AgentOptions {
  fs::path state;
  std::string listen = "127.0.0.1:0";
  bool plain_chat = false;         // CompletionServer::Options
  bool once = false;               // return when everything assigned is done
  int threads = 0;                 // of the engine; 0: as many as cores
  uint64_t min_download_rate = 0;  // bytes per second: UpdateEnvironment
  AllowedRuntimes runtimes;
  uint64_t runtime_disk_bytes = 0;  // ModelHosts::Options
  v1::HardwareFacts overrides;
};

struct AgentWorld {
  FileSystem& files;
  const Clock& clock;
  Random& random;
  Connector connect;
  std::string version = {};  // of this program
};

enum class AgentEnd {
  kStopped,
  kBecomeCurrent,  // another program of the agent is to go on in this one's place:
                   // agent/self/launcher.h
};

// Runs until `stop`, or, with once, until the device is up to date: an error then says what failed.
// Logs with spdlog.
absl::StatusOr<AgentEnd> RunAgent(const AgentWorld& world, const AgentOptions& options,
                                  std::stop_token stop);

}  // namespace quantfleet::agent
