// An updater over a fleet in memory, and lives of the agent's process that come and go. For tests.
#pragma once

#include <memory>
#include <string_view>

#include "agent/update/updater.h"
#include "tests/agent/update/fleet_fixture.h"
#include "tests/support/power_cuts.h"
#include "tests/support/temp_dir.h"

namespace quantfleet::agent {

class UpdaterTest : public FleetFixture {
 protected:
  // One life of the agent's process: what it holds in memory is gone with it, the disk stays.
  struct Life {
    Life(UpdateEnvironment with, const fs::path& folder)
        : environment(std::move(with)), updater(environment, kModel, folder) {
      updater.Boot();
    }
    UpdateEnvironment environment;
    Updater updater;
  };
  std::unique_ptr<Life> Begin(FileSystem& files) {
    return std::make_unique<Life>(Environment(files), folder_);
  }
  std::unique_ptr<Life> Begin() { return Begin(files_); }
  std::unique_ptr<Life> Reboot() {
    host_.running.clear();
    return Begin();
  }
  static Assignment To(uint64_t release, const FakeArtifact& artifact) {
    return {kModel, release, artifact.digest};
  }
  v1::ModelStatus Apply(Life& life, const Assignment& assignment) {
    life.updater.Accept(assignment);
    EXPECT_TRUE(life.updater.Run({}));
    return life.updater.status();
  }
  void ExpectHealthy(const v1::ModelStatus& status, const FakeArtifact& artifact,
                     uint64_t release) {
    EXPECT_EQ(status.phase(), v1::ModelStatus::HEALTHY) << status.ShortDebugString();
    EXPECT_EQ(status.release(), release);
    EXPECT_EQ(status.active_manifest(), artifact.digest.raw());
    EXPECT_EQ(host_.running[kModel], artifact.content);
    EXPECT_EQ(status.bytes_done(), artifact.content.size());
    EXPECT_EQ(status.endpoint(), "127.0.0.1:4242");
  }
  void ExpectFailed(const v1::ModelStatus& status, Reason reason) {
    EXPECT_EQ(status.phase(), v1::ModelStatus::FAILED) << status.ShortDebugString();
    EXPECT_EQ(status.reason(), NameOf(reason)) << status.detail();
  }

  testing::FaultyFileSystem files_;
  testing::TempDir dir_;
  const fs::path folder_ = dir_ / "models" / kModel;
  FakeArtifact v1_ = MakeArtifact({1, 2, 3, 4}), v2_ = MakeArtifact({1, 20, 3, 40, 50});
};

}  // namespace quantfleet::agent
