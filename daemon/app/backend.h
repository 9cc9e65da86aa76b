// What the use cases work on. References only; all must outlive them.
#pragma once

#include <string>

#include "common/base/clock.h"
#include "daemon/fleet/class_registry.h"
#include "daemon/fleet/fleet.h"
#include "daemon/jobs/job_runner.h"
#include "daemon/jobs/model_registry.h"
#include "daemon/jobs/scrubber.h"
#include "daemon/operators/operators.h"
#include "daemon/rollout/rollouts.h"
#include "daemon/store/store.h"
#include "daemon/trust/authority.h"
#include "pipeline/artifact/blob_store.h"

namespace quantfleet::daemon::app {

struct Backend {
  Store& store;
  const Authority& authority;
  ModelRegistry& models;
  JobRunner& jobs;
  Scrubber& scrubber;
  const pipeline::BlobStore& blobs;
  ClassRegistry& classes;
  Fleet& fleet;
  Rollouts& rollouts;
  Operators& operators;
  const Clock& clock;
  int64_t started_ms = 0;
  // HOST:PORT of the HTTPS side; an empty host means the one that was called.
  std::string blob_endpoint = {};
  std::string fleet_endpoint = {};  // the same of gRPC for devices alone; empty: there is none
};

}  // namespace quantfleet::daemon::app
