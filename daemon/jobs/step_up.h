// What a job makes, and what it makes instead: the next larger precision of an artifact that is not
// good enough for a class. Pure.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/fleet/device_class.h"
#include "daemon/store/job_store.h"
#include "pipeline/model/source.h"
#include "pipeline/stage/plan.h"
#include "quantfleet/v1/manifest.pb.h"
#include "quantfleet/v1/trust.pb.h"
#include "quantfleet/v1/types.pb.h"

namespace quantfleet::daemon {

// The recipe with the fewest more bits than `recipe` has, of the same format, whose files of this
// model are larger than `bytes` and at most `most`: the one of the same name but for the bits
// ("q4_k_m", "q5_k_m"), or else the smallest. None has more bits than the model itself. nullopt:
// there is none.
std::optional<std::string> NextLarger(const pipeline::ModelSource& source, std::string_view format,
                                      std::string_view recipe, uint64_t bytes,
                                      uint64_t most = std::numeric_limits<uint64_t>::max());

// An artifact that a job has made.
struct MadeArtifact {
  std::string target;  // job_target.h
  uint64_t bytes = 0;
  v1::Memory memory = {};
  std::vector<v1::EvaluationStatement> evaluations = {};  // the oldest first
};

// What the job makes for the class at present: its own target, or the last that it stepped up to;
// empty: there was nothing larger.
std::string TargetOf(const JobRecord& job, const DeviceClassSpec& spec);

// Further steps of the job's classes, whose limits artifacts in `made` miss: to targets that are
// made already, as far as those go, and then to one that is not. An artifact that was not measured
// makes none.
std::vector<v1::StepUp> StepUpsOf(const JobRecord& job, const std::vector<DeviceClassSpec>& classes,
                                  const std::vector<MadeArtifact>& made,
                                  const pipeline::ModelSource& source);

// The job's own targets and those that it stepped up to, each once, in their order: that of its
// artifacts.
std::vector<std::string> TargetsOf(const JobRecord& job);
// Those that it has not made yet.
std::vector<std::string> TargetsLeft(const JobRecord& job);
// Of these, what the next pass makes: as far as all are folded, or none. The errors are
// ParseJobTarget's.
absl::StatusOr<std::vector<pipeline::TargetSpec>> TargetsNext(const JobRecord& job);
// Changes those that are left, in the job's targets and in its steps. `change` may make two of them
// one.
absl::Status ChangeTargetsLeft(JobRecord& job,
                               const std::function<void(pipeline::TargetSpec&)>& change);

}  // namespace quantfleet::daemon
