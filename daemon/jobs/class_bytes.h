// Classes that bound the bytes of their artifacts, and whose recipe makes more of a model: the job
// makes the largest named recipe of the format that does not. Pure.
#pragma once

#include <vector>

#include "daemon/fleet/device_class.h"
#include "daemon/store/job_store.h"
#include "pipeline/model/source.h"
#include "quantfleet/v1/types.pb.h"

namespace quantfleet::daemon {

// Puts what is made instead into the job's targets, and how that came into its steps. For a job
// that has made nothing yet. FAILED_PRECONDITION: no recipe of the format makes so few.
absl::Status KeepWithinBytes(const std::vector<DeviceClassSpec>& classes,
                             const pipeline::ModelSource& source, JobRecord& job);

}  // namespace quantfleet::daemon
