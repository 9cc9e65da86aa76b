#include "agent/update/worker.h"

#include <gmock/gmock.h>

#include <future>

#include "tests/agent/update/fleet_fixture.h"
#include "tests/support/eventually.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/temp_dir.h"

namespace quantfleet::agent {
namespace {

class WorkerTest : public FleetFixture {
 protected:
  void SetUp() override {
    UpdateEnvironment environment = Environment(files_);
    environment.on_change = [this](const v1::ModelStatus&) {
      std::lock_guard lock(mutex_);
      changed_.notify_all();
    };
    sleeper_.on_sleep = [this] {
      if (!std::exchange(paused_, true)) pauses_.set_value();
    };
    worker_ = std::make_unique<UpdateWorker>(std::move(environment), dir_ / "models", kDevice);
  }
  // The condition is looked at after each change, never after a fixed time.
  template <typename Condition>
  bool Reach(Condition condition) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, testing::kLongEnough, condition);
  }

  testing::FaultyFileSystem files_;  // the worker's thread alone uses it
  testing::TempDir dir_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::promise<void> pauses_;  // kept when it sleeps for the first time
  bool paused_ = false;        // the worker's thread alone uses it
  FakeArtifact v1_ = MakeArtifact({1, 2}), v2_ = MakeArtifact({1, 3});
  std::unique_ptr<UpdateWorker> worker_;
};

TEST_F(WorkerTest, SettlesWithNothingToDo) {
  worker_->Start();
  EXPECT_TRUE(Reach([&] { return worker_->settled(); }));
  EXPECT_TRUE(worker_->statuses().empty());
}

TEST_F(WorkerTest, AppliesWhatIsHandedOver) {
  worker_->Start();
  worker_->Hand({Sign(Assign(1, v1_.digest))});
  ASSERT_TRUE(Reach([&] { return worker_->settled() && !worker_->statuses().empty(); }));
  EXPECT_EQ(worker_->statuses().front().phase(), v1::ModelStatus::HEALTHY);
}

TEST_F(WorkerTest, WrongSignatureIsReportedAndActivatesNothing) {
  worker_->Start();
  const auto foreign = trust::SigningKey::Generate();
  worker_->Hand(
      {trust::Sign(foreign, trust::kAssignmentType, Assign(1, v1_.digest).SerializeAsString())});
  ASSERT_TRUE(Reach([&] { return worker_->settled() && !worker_->statuses().empty(); }));
  const v1::ModelStatus status = worker_->statuses().front();
  EXPECT_EQ(status.phase(), v1::ModelStatus::FAILED);
  EXPECT_EQ(status.reason(), NameOf(Reason::kAssignmentRefused));
  worker_->Stop();
  EXPECT_TRUE(host_.running.empty());
  EXPECT_EQ(blobs_.bytes_fetched, 0u);
}

TEST_F(WorkerTest, NewerAssignmentInterruptsADownload) {
  // Nothing comes for the first release, ever.
  blobs_.on_fetch = [&] { blobs_.cut_after = worker_->statuses().front().release() == 2 ? -1 : 0; };
  worker_->Start();
  worker_->Hand({Sign(Assign(1, v1_.digest))});
  EXPECT_TRUE(testing::Arrives(pauses_.get_future())) << "it does not wait for the network";
  worker_->Hand({Sign(Assign(2, v2_.digest))});
  ASSERT_TRUE(Reach([&] {
    const auto all = worker_->statuses();
    return !all.empty() && all.front().phase() == v1::ModelStatus::HEALTHY;
  }));
  EXPECT_EQ(worker_->statuses().front().release(), 2u);
}

// A server that takes a connection and says nothing, or next to nothing.
TEST_F(WorkerTest, AnotherModelGoesOnBesideADownloadThatHangsAndStopEndsIt) {
  blobs_.hanging = {v2_.chunks[0], v2_.chunks[1]};
  const FakeArtifact other = MakeArtifact({7, 8});
  v1::Assignment beside = Assign(1, other.digest);
  beside.set_model("other");
  worker_->Start();
  worker_->Hand({Sign(Assign(1, v2_.digest))});
  blobs_.AwaitHanging();
  worker_->Hand({Sign(Assign(1, v2_.digest)), Sign(beside)});
  ASSERT_TRUE(Reach([&] {
    const auto all = worker_->statuses();
    return all.size() == 2 && all.back().phase() == v1::ModelStatus::HEALTHY;
  }));
  EXPECT_EQ(worker_->statuses().front().phase(), v1::ModelStatus::DOWNLOADING);
  EXPECT_FALSE(worker_->settled());
  worker_->Stop();
  EXPECT_EQ(blobs_.fetches[v2_.chunks[0]], 1) << "what hung was not touched by the other's release";
}

TEST_F(WorkerTest, StopEndsADownload) {
  blobs_.cut_after = 0;
  worker_->Start();
  worker_->Hand({Sign(Assign(1, v1_.digest))});
  EXPECT_TRUE(testing::Arrives(pauses_.get_future())) << "it does not wait for the network";
  worker_->Stop();
  EXPECT_FALSE(worker_->settled());
}

}  // namespace
}  // namespace quantfleet::agent
