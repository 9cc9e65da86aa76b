// What runs the models of a device, as an interface: the updater proves an artifact healthy without knowing
// engines.
#pragma once

#include <string>

#include "agent/update/health_gate.h"
#include "common/base/file.h"
#include "common/base/status.h"
#include "quantfleet/v1/manifest.pb.h"

namespace quantfleet::agent {

// Thread-safe.
class ModelHost {
 public:
  virtual ~ModelHost() = default;
  // Loads the artifact under `files`, lets it say a few words, holds what it sees against `gate`, and answers for
  // `model` with it from then on. Until then, and on any error, what answered before goes on. The gate's errors are
  // passed on as they are; those of loading have the codes that Engine::Load gives.
  virtual absl::StatusOr<Health> Start(const std::string& model, const fs::path& files,
                                       const v1::Manifest& manifest, const HealthGate& gate) = 0;
  virtual void Stop(const std::string& model) = 0;
  // "127.0.0.1:port".
  virtual std::string endpoint() const = 0;
};

}  // namespace quantfleet::agent
