// Signed assignments and artifacts: the checks before a device acts on them. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/digest.h"
#include "common/base/status.h"
#include "quantfleet/v1/device.pb.h"
#include "quantfleet/v1/manifest.pb.h"
#include "quantfleet/v1/trust.pb.h"

namespace quantfleet::agent {

struct Assignment {
  std::string model;
  uint64_t release = 0;
  std::optional<Digest> manifest;  // nullopt: remove the model
  v1::HealthPolicy health = {};    // every number finite and not negative
  std::optional<v1::Runtime> runtime =
      {};  // nullopt: the agent's own engine; else checked by trust::CheckRuntime
  std::vector<Digest> step_down =
      {};  // what to step down to when `manifest` proves too large or too slow, in this order
  v1::NetworkPolicy network = {};
  v1::ContextPolicy context = {};  // min_tokens at most tokens; no tokens: the agent's own default
};

// The assignment inside `statement`, if a key of `root` signed it for this device.
// PERMISSION_DENIED: wrong signature or another device's; INVALID_ARGUMENT: signed, but nothing
// that can be acted on.
absl::StatusOr<Assignment> ReadAssignment(const v1::Signed& statement, const v1::TrustRoot& root,
                                          std::string_view device_id);

// Which model a statement claims to be about, for a report on a statement that was refused. Empty:
// unknown.
std::string ClaimedModel(const v1::Signed& statement);

// The manifest of `artifact`, if its bytes have the digest `wanted`, it is valid, and the daemon
// has signed an ArtifactStatement about it. DATA_LOSS or PERMISSION_DENIED otherwise.
absl::StatusOr<v1::Manifest> ReadArtifact(const v1::DeviceArtifact& artifact, const Digest& wanted,
                                          const v1::TrustRoot& root);

// What the daemon measured of the artifact, as far as it signed such statements with a key that
// this device trusts for them: the newest for each KV cache and context. An evaluation is a help,
// not a condition.
v1::Evaluations ReadEvaluations(const v1::DeviceArtifact& artifact, const Digest& manifest,
                                const v1::TrustRoot& root);

}  // namespace quantfleet::agent
