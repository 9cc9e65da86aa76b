// What is told of jobs, rollouts and the devices in them.
#include "daemon/app/chronicle.h"

#include <gmock/gmock.h>

#include <mutex>

#include "tests/daemon/rollout/rollout_fixture.h"

namespace quantfleet::daemon::app {
namespace {

class ChronicleTest : public RolloutFixture {
 protected:
  std::unique_ptr<Chronicle> Begin() {
    return std::make_unique<Chronicle>(*store_, [this](const Event& event) {
      std::string line(event.what);
      for (const auto& [name, value] : event.values)
        if ((name == "state" || name == "device" || name == "rollout" || name == "job" ||
             name == "code") &&
            !value.empty())
          line += fmt::format(" {}", value);
      const std::lock_guard lock(mutex_);
      told_.push_back(line);
    });
  }

  std::mutex mutex_;
  std::vector<std::string> told_;  // whole once the chronicle has ended
};

TEST_F(ChronicleTest, ARolloutIsToldWithItsDevicesAndOnce) {
  PutArtifact("iq4_nl");
  const std::vector<std::string> devices = EnrollDevices(2);
  auto chronicle = Begin();
  Rollouts::CreateRequest request;
  request.model = "demo";
  const auto rollout = rollouts_.Create(request);
  ASSERT_OK(rollout.status());
  chronicle.reset();
  EXPECT_THAT(told_, ::testing::UnorderedElementsAre(
                         "rollout " + rollout->name() + " RUNNING",
                         fmt::format("device devices/{} PENDING {}", devices[0], rollout->name()),
                         fmt::format("device devices/{} PENDING {}", devices[1], rollout->name())));
  // What was under way at a start is not told again.
  told_.clear();
  chronicle = Begin();
  ASSERT_OK(rollouts_.Act(rollout->name(), RolloutEvent::kPause, "why").status());
  chronicle.reset();
  EXPECT_THAT(told_, ::testing::ElementsAre("rollout " + rollout->name() + " PAUSED"));
}

TEST_F(ChronicleTest, AJobIsToldAtEachStateAndNotAtItsProgress) {
  const auto chronicle_of = [&](v1::Job::State state) {
    return store_->Write([&](Transaction& tx) {
      return tx.jobs()
          .Update("jobs/1",
                  [&](JobRecord& record) {
                    record.job.set_state(state);
                    record.job.mutable_progress()->set_bytes_read(
                        record.job.progress().bytes_read() + 1);
                    return absl::OkStatus();
                  })
          .status();
    });
  };
  JobRecord record;
  record.job.set_name("jobs/1");
  record.job.set_state(v1::Job::QUEUED);
  ASSERT_OK(store_->Write([&](Transaction& tx) { return tx.jobs().Create(record, {}).status(); }));
  for (const auto state : {v1::Job::RUNNING, v1::Job::RUNNING, v1::Job::SUCCEEDED}) {
    auto chronicle = Begin();
    ASSERT_OK(chronicle_of(state));
    chronicle.reset();
  }
  auto chronicle = Begin();
  ASSERT_OK(chronicle_of(v1::Job::SUCCEEDED));
  ASSERT_OK(chronicle_of(v1::Job::SUCCEEDED));
  chronicle.reset();
  EXPECT_THAT(told_, ::testing::ElementsAre("job jobs/1 RUNNING", "job jobs/1 RUNNING",
                                            "job jobs/1 SUCCEEDED", "job jobs/1 SUCCEEDED"));
}

}  // namespace
}  // namespace quantfleet::daemon::app
