// What runs the models of a device, as an interface: the updater proves an artifact healthy without knowing
// engines.
#pragma once

#include <string>

#include "common/base/file.h"
#include "common/base/status.h"
#include "quantfleet/v1/manifest.pb.h"

namespace quantfleet::agent {

// Thread-safe.
class ModelHost {
 public:
  virtual ~ModelHost() = default;
  struct Health {
    double tokens_per_second = 0;
  };
  // Loads the artifact under `files`, lets it say a few words, and answers for `model` with it from then on.
  // Until then, and on any error, what answered before goes on.
  virtual absl::StatusOr<Health> Start(const std::string& model, const fs::path& files,
                                       const v1::Manifest& manifest) = 0;
  virtual void Stop(const std::string& model) = 0;
  // "127.0.0.1:port".
  virtual std::string endpoint() const = 0;
};

}  // namespace quantfleet::agent
