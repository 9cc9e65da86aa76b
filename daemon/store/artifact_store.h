// Artifacts: their manifests and what was signed about them.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/digest.h"
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

  // By name, or by an unambiguous prefix of the digest's hex. Artifacts that are returned have
  // their damage.
  virtual absl::StatusOr<ArtifactRecord> Get(std::string_view name_or_prefix) const = 0;
  // The whole name.
  virtual absl::StatusOr<std::string> Resolve(std::string_view name_or_prefix) const = 0;
  // Newest first; model empty: all, an artifact of several models once for each. Each has the
  // versions of its model that it belongs to. One of before versions belongs to the one that was
  // the newest when it was made.
  virtual absl::StatusOr<std::vector<v1::Artifact>> List(std::string_view model) const = 0;
  // Up to `limit` names and manifests, by name, of those above `after`, whatever is left of their
  // records. Empty bytes: the manifest is damaged, which is to say not what the name is the digest
  // of.
  virtual absl::StatusOr<std::vector<std::pair<std::string, std::string>>> ListManifests(
      std::string_view after, size_t limit) const = 0;
  // Of the model's version that comes first in the record; none: it is not known. The same digest
  // again (also for another model or version) is the same artifact: it becomes the newest of that
  // one, statements that it lacks are added, and a damaged manifest is replaced.
  virtual absl::Status Put(const ArtifactRecord& artifact) = 0;
  virtual absl::Status AddStatement(std::string_view artifact, const v1::Signed& statement) = 0;
  // Forgets the artifact for all of its models and returns it. FAILED_PRECONDITION names what still
  // needs it: devices that are assigned to it or run it, unfinished rollouts.
  virtual absl::StatusOr<v1::Artifact> Delete(std::string_view name_or_prefix) = 0;

  // The artifact lacks these blobs; its own digest stands for its manifest. Returns whether that is
  // news. One that is gone is no error.
  virtual absl::StatusOr<bool> MarkDamaged(std::string_view name, const std::vector<Digest>& blobs,
                                           int64_t found_ms) = 0;
  // The blobs are there, whatever artifact lacked them.
  virtual absl::Status ClearDamage(const std::vector<Digest>& blobs) = 0;
  virtual absl::StatusOr<std::vector<Digest>> ListDamagedBlobs() const = 0;
  virtual absl::StatusOr<std::vector<std::string>> ListDamaged() const = 0;  // artifacts, by name
};

}  // namespace quantfleet::daemon
