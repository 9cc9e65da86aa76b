// Artifacts: their manifests and what was signed about them.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/status.h"
#include "quantfleet/v1/trust.pb.h"
#include "quantfleet/v1/types.pb.h"

namespace quantfleet::daemon {

struct ArtifactRecord {
  v1::Artifact artifact;
  std::string manifest;  // exact bytes
  std::vector<v1::Signed> statements;
};

class ArtifactStore {
 public:
  virtual ~ArtifactStore() = default;

  // By name, or by an unambiguous prefix of the digest's hex.
  virtual absl::StatusOr<ArtifactRecord> Get(std::string_view name_or_prefix) const = 0;
  // Newest first. With an empty model: all, an artifact of several models once for each.
  virtual absl::StatusOr<std::vector<v1::Artifact>> List(std::string_view model) const = 0;
  // Up to `limit` names and manifests, by name, of those above `after`, whatever is left of their
  // records. Empty bytes: the manifest is damaged.
  virtual absl::StatusOr<std::vector<std::pair<std::string, std::string>>> ListManifests(
      std::string_view after, size_t limit) const = 0;
  // The same digest again (also for another model) is the same artifact: it becomes that model's
  // newest, and statements that it lacks are added.
  virtual absl::Status Put(const ArtifactRecord& artifact) = 0;
  virtual absl::Status AddStatement(std::string_view artifact, const v1::Signed& statement) = 0;
  // Forgets the artifact for all of its models and returns it. FAILED_PRECONDITION names what still
  // needs it: devices that are assigned to it or run it, unfinished rollouts.
  virtual absl::StatusOr<v1::Artifact> Delete(std::string_view name_or_prefix) = 0;
};

}  // namespace quantfleet::daemon
