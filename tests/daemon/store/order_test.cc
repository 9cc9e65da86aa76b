// Limits, orders and numbers: what one database answers otherwise than another, if it is let to.
#include <thread>

#include "tests/daemon/store/store_fixture.h"

namespace quantfleet::daemon {
namespace {

using ::testing::ElementsAre;

class OrderTest : public StoreFixture {
 protected:
  static v1::Rollout SomeRollout(const std::string& name, std::vector<std::string> devices = {}) {
    v1::Rollout rollout;
    rollout.set_name(name);
    rollout.set_model("m");
    rollout.set_state(v1::Rollout::RUNNING);
    for (std::string& id : devices) rollout.add_devices()->set_device_id(std::move(id));
    return rollout;
  }
  template <typename List, typename Name>
  static std::vector<std::string> Names(const List& list, Name name) {
    std::vector<std::string> names;
    for (const auto& item : list) names.push_back(std::invoke(name, item));
    return names;
  }
};
INSTANTIATE_TEST_SUITE_P(Each, OrderTest, ::testing::ValuesIn(StoreBackends()), BackendName);

// A collation of words would have a before B, and \xc3\xa9 beside e.
TEST_P(OrderTest, NamesAreOrderedByTheirBytes) {
  for (const char* name : {"b", "\xc3\xa9", "B", "a-1", "a", "a.1", "_", "10", "9"}) {
    ASSERT_OK(Once(*store_)->models().Put(SomeModel(name), {}));
    v1::DeviceClass device_class;
    device_class.set_name(name);
    ASSERT_OK(Once(*store_)->classes().Put(device_class));
    v1::DeviceGroup group;
    group.set_name(name);
    ASSERT_OK(Once(*store_)->groups().Put(group));
  }
  const auto in_order = ElementsAre("10", "9", "B", "_", "a", "a-1", "a.1", "b", "\xc3\xa9");
  EXPECT_THAT(Names(*Once(*store_)->models().List(), &v1::Model::name), in_order);
  EXPECT_THAT(Names(*Once(*store_)->classes().List(), &v1::DeviceClass::name), in_order);
  EXPECT_THAT(Names(*Once(*store_)->groups().List(), &v1::DeviceGroup::name), in_order);
}

TEST_P(OrderTest, WhatADeviceHasIsOrderedByModel) {
  Enroll("d1");
  const auto sign = [](uint64_t) -> absl::StatusOr<v1::Signed> { return v1::Signed(); };
  for (const char* model : {"b", "B", "a"}) {
    ASSERT_OK(Once(*store_)->assignments().Assign("d1", model, "", "", sign));
    ASSERT_OK(Once(*store_)->devices().Update("d1", [&](v1::Device& device) {
      device.add_models()->set_model(model);
      return absl::OkStatus();
    }));
  }
  EXPECT_THAT(Names(*Once(*store_)->assignments().List("d1"), &AssignmentRecord::model),
              ElementsAre("B", "a", "b"));
  EXPECT_THAT(Names(Once(*store_)->devices().Get("d1")->models(), &v1::ModelStatus::model),
              ElementsAre("B", "a", "b"));
  PushRecord push{.id = "p", .model = "m", .files = {}, .created_ms = 1};
  for (const char* path : {"b", "a/b", "B"}) push.files.push_back({path, 1, HashText(path)});
  ASSERT_OK(Once(*store_)->models().CreatePush(push, {}));
  EXPECT_THAT(Names(Once(*store_)->models().GetPush("p")->files, &PushedFile::path),
              ElementsAre("B", "a/b", "b"));
}

// Ids are "d-" and hex digits, which every collation orders alike.
TEST_P(OrderTest, PagesOfIdsMeet) {
  const std::vector<std::string> ids = {"d-00", "d-09", "d-0a", "d-a0", "d-f1"};
  for (const std::string& id : {ids[3], ids[0], ids[4], ids[2], ids[1]}) {
    Enroll(id);
    v1::AllowedDevice allowed;
    allowed.set_device_id("x" + id);
    ASSERT_OK(Once(*store_)->admission().Allow({allowed}, 10));
  }
  std::vector<std::string> seen, expected;
  for (std::string after;;) {
    const auto page = Once(*store_)->devices().List(after, 2);
    ASSERT_OK(page);
    for (const v1::Device& device : *page) seen.push_back(device.id());
    if (page->size() < 2) break;
    after = seen.back();
  }
  EXPECT_EQ(seen, ids);
  EXPECT_TRUE(Once(*store_)->devices().List("", 0)->empty());
  EXPECT_EQ(Once(*store_)->devices().FindByAdmission("token t1")->size(), ids.size())
      << "without a limit: all";
  EXPECT_EQ(Once(*store_)->admission().ListAllowed("xd-0a", 1)->front().device_id(), "xd-a0");
}

TEST_P(OrderTest, NewestAndOldestAreByCreationAlsoAfterDeletionAndReopening) {
  for (const char* id : {"p-z", "p-a"})
    ASSERT_OK(Once(*store_)->models().CreatePush({.id = id, .model = "m", .files = {}}, {}));
  ASSERT_OK(Once(*store_)->models().DeletePush("p-a"));  // the highest number is not given again
  Reopen();
  for (const char* id : {"p-m", "p-b"})
    ASSERT_OK(Once(*store_)->models().CreatePush({.id = id, .model = "m", .files = {}}, {}));
  EXPECT_THAT(Names(*Once(*store_)->models().ListPushes(), &PushRecord::id),
              ElementsAre("p-z", "p-m", "p-b"));
  for (const char* name : {"jobs/2", "jobs/1", "jobs/3"})
    ASSERT_OK(Once(*store_)->jobs().Create(SomeJob(name), {}));
  EXPECT_THAT(Names(*Once(*store_)->jobs().List(), &v1::Job::name),
              ElementsAre("jobs/3", "jobs/1", "jobs/2"));
  for (const char* name : {"rollouts/2", "rollouts/1"})
    ASSERT_OK(Once(*store_)->rollouts().Create(SomeRollout(name), {}));
  EXPECT_THAT(Names(*Once(*store_)->rollouts().List(), &v1::Rollout::name),
              ElementsAre("rollouts/1", "rollouts/2"));
  EXPECT_THAT(*Once(*store_)->rollouts().ListActive(), ElementsAre("rollouts/2", "rollouts/1"));
}

// A watcher at revision n gets every change above it, each once.
TEST_P(OrderTest, RevisionsCountOnePerChangeWhoeverMakesIt) {
  ASSERT_OK(Once(*store_)->rollouts().Create(SomeRollout("rollouts/1", {"a", "b", "c"}), {}));
  ASSERT_OK(Once(*store_)->rollouts().Create(SomeRollout("rollouts/2", {"a"}), {}));
  EXPECT_EQ(Once(*store_)->rollouts().GetChanges("rollouts/1", std::nullopt, 0)->revision(), 3u);
  EXPECT_EQ(Names(Once(*store_)->rollouts().GetChanges("rollouts/1", 0, 10)->devices(),
                  &v1::RolloutDevice::device_id),
            (std::vector<std::string>{"a", "b", "c"}));
  constexpr int kThreads = 4, kChanges = 10;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t)
    threads.emplace_back([this, t] {
      v1::RolloutDevice row;
      row.set_device_id(fmt::format("t{}", t));
      for (int i = 0; i < kChanges; ++i)
        EXPECT_OK(store_->Write(
            [&](Transaction& tx) { return tx.rollouts().PutDevice("rollouts/1", row); }));
    });
  for (std::thread& thread : threads) thread.join();
  const auto all = Once(*store_)->rollouts().GetChanges("rollouts/1", 3, 100);
  EXPECT_EQ(all->revision(), 3u + kThreads * kChanges);
  EXPECT_EQ(all->devices_size(), kThreads);
  EXPECT_EQ(Once(*store_)->rollouts().GetChanges("rollouts/2", std::nullopt, 0)->revision(), 1u);
  EXPECT_EQ(Once(*store_)->rollouts().PutDevice("rollouts/none", {}).code(),
            absl::StatusCode::kNotFound);
}

TEST_P(OrderTest, ReleasesAreTakenOnceWhoeverAssigns) {
  Enroll("d1");
  std::vector<std::thread> threads;
  std::mutex mutex;
  std::set<uint64_t> releases;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 5; ++i) {
        const auto sign = [](uint64_t release) -> absl::StatusOr<v1::Signed> {
          v1::Signed statement;
          statement.set_payload(std::to_string(release));
          return statement;
        };
        const auto made = store_->Write([&](Transaction& tx) {
          return tx.assignments().Assign("d1", "m", "", "rollouts/1", sign);
        });
        EXPECT_OK(made);
        if (!made.ok()) return;
        EXPECT_EQ(made->statement.payload(), std::to_string(made->release));
        std::lock_guard lock(mutex);
        EXPECT_TRUE(releases.insert(made->release).second);
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(releases.size(), 20u);
  EXPECT_EQ(*releases.rbegin(), 20u);
  EXPECT_EQ(Once(*store_)->assignments().List("d1")->front().statement.payload(), "20");
}

TEST_P(OrderTest, WhatIsCountedIsCountedTooWhereItIsNotWrittenYet) {
  for (const char* id : {"d1", "d2", "d3"}) Enroll(id);
  Touch("d1", 40'000);
  Touch("d2", 20'000);
  Touch("d2", 45'000);
  const auto seen = [&](int64_t since_ms) {
    return store_->Read([&](const Transaction& tx) { return tx.counts().Count(since_ms); })
        ->devices_seen;
  };
  EXPECT_EQ(seen(1000), 3u);
  EXPECT_EQ(seen(1001), 2u);
  EXPECT_EQ(seen(40'000), 2u);
  EXPECT_EQ(seen(40'001), 1u);
  ASSERT_OK(store_->Flush());
  EXPECT_EQ(seen(1000), 3u);
  EXPECT_EQ(seen(40'000), 2u);
  EXPECT_EQ(seen(45'001), 0u);
  Reopen();
  EXPECT_EQ(seen(40'000), 2u);
}

}  // namespace
}  // namespace quantfleet::daemon
