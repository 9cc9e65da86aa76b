#include <gmock/gmock.h>

#include "daemon/rollout/match.h"
#include "pipeline/artifact/kind.h"
#include "tests/support/status_matchers.h"

namespace quantfleet::daemon {
namespace {

using testing::Names;

v1::Device DeviceOf(const std::string& architecture) {
  v1::Device device;
  device.set_id("d-1");
  device.set_state(v1::Device::ACTIVE);
  device.mutable_facts()->set_arch(architecture);
  return device;
}

std::vector<OfferedArtifact> Releases() {
  std::vector<OfferedArtifact> offered(2);
  offered[0].artifact.set_recipe("x86_64");
  offered[1].artifact.set_recipe("aarch64");
  for (OfferedArtifact& one : offered) {
    one.artifact.set_format(std::string(pipeline::kAgentFormat));
    one.artifact.set_name("artifacts/" + one.artifact.recipe());
    one.artifact.set_stored_bytes(7);
  }
  return offered;
}

v1::RolloutDevice MatchOf(const v1::Device& device) {
  return MatchDevice(device, Releases(), {}, pipeline::kAgentModel);
}

TEST(MatchAgent, ADeviceGetsItsArchitecturesWhateverItsClass) {
  for (const char* architecture : {"x86_64", "aarch64"}) {
    v1::Device device = DeviceOf(architecture);
    const v1::RolloutDevice row = MatchOf(device);  // of no class at all
    EXPECT_EQ(row.state(), v1::RolloutDevice::QUEUED);
    EXPECT_EQ(row.artifact(), std::string("artifacts/") + architecture);
    EXPECT_EQ(row.bytes(), 7u);
    EXPECT_EQ(row.step_down_size(), 0);
    device.set_device_class("a-class-that-went");
    EXPECT_EQ(MatchOf(device).state(), v1::RolloutDevice::QUEUED);
  }
}

TEST(MatchAgent, ADeviceOfAnotherArchitectureIsSkippedWithTheRemedy) {
  const v1::RolloutDevice row = MatchOf(DeviceOf("riscv64"));
  EXPECT_EQ(row.state(), v1::RolloutDevice::SKIPPED);
  EXPECT_EQ(row.code(), v1::RolloutDevice::NO_ARTIFACT);
  EXPECT_THAT(row.reason(), Names("riscv64", "`quantfleet agent publish`"));
}

TEST(MatchAgent, ARevokedDeviceIsSkipped) {
  v1::Device device = DeviceOf("x86_64");
  device.set_state(v1::Device::REVOKED);
  EXPECT_EQ(MatchOf(device).code(), v1::RolloutDevice::REVOKED);
}

}  // namespace
}  // namespace quantfleet::daemon
