// What the running agent publishes for other processes on this machine: STATE/status.json for
// `quantfleet-agent status`, STATE/endpoint.json ({"endpoint", "models"}) for whoever wants to ask
// a model.
#pragma once

#include <string>
#include <vector>

#include "agent/identity/identity_store.h"
#include "common/base/file.h"
#include "quantfleet/v1/types.pb.h"

namespace quantfleet::agent {

absl::Status WriteEndpoint(FileSystem& files, const fs::path& state, const std::string& endpoint,
                           const std::vector<v1::ModelStatus>& models);
struct RunningProgram {
  std::string version;
  std::string slot;  // "a" or "b": a release; empty: the installed one
};
absl::Status WriteStatus(FileSystem& files, const fs::path& state, const RunningProgram& program,
                         const std::vector<v1::ModelStatus>& models);

struct AgentStatus {
  DeviceIdentity identity;
  bool running = false;
  int64_t certificate_expires_ms = 0;
  std::string endpoint;                 // of the running agent
  RunningProgram program;               // as last written
  std::vector<v1::ModelStatus> models;  // likewise
  // Why the state folder takes nothing, so that what the agent wrote last may be old; else empty.
  std::string unwritable;
};
// NOT_FOUND: this device is not enrolled.
absl::StatusOr<AgentStatus> ReadStatus(FileSystem& files, const fs::path& state);
std::string StatusJson(const AgentStatus& status);
// For people.
std::string StatusText(const AgentStatus& status);

}  // namespace quantfleet::agent
