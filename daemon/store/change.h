// A change, published after it was committed.
#pragma once

#include <string>

namespace quantfleet::daemon {

// name: of the model, job, artifact, class, token, device, rollout, group or
// operator.
struct Change {
  enum class Kind {
    kModel,
    kJob,
    kArtifact,
    kClass,
    kToken,
    kDevice,
    kAssignment,
    kRollout,
    kGroup,
    kOperator
  } kind;
  std::string name;  // kAssignment: the device's id
};

}  // namespace quantfleet::daemon
