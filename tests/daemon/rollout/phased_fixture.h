// A rollout in phases over one artifact, and what a device was told by it.
#pragma once

#include <string>
#include <vector>

#include "tests/daemon/rollout/rollout_fixture.h"

namespace quantfleet::daemon {

class PhasedFixture : public RolloutFixture {
 protected:
  PhasedFixture() { first_ = PutArtifact("iq4_nl"); }

  // A canary, then the rest.
  static v1::RolloutPlan Canary() {
    v1::RolloutPlan plan;
    plan.add_phases()->set_count(1);
    plan.add_phases();
    return plan;
  }
  std::vector<v1::RolloutDevice> Pending(const v1::Rollout& rollout) {
    return In(Get(rollout), v1::RolloutDevice::PENDING);
  }
  v1::Assignment Assigned(const std::string& id) {
    v1::Assignment assignment;
    const auto all = Once(*store_)->assignments().List(id);
    EXPECT_EQ(all->size(), 1u);
    EXPECT_TRUE(assignment.ParseFromString(all->front().statement.payload()));
    return assignment;
  }

  std::string first_;
};

}  // namespace quantfleet::daemon
