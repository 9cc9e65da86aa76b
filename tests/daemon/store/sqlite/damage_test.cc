// Records that cannot be read: they hide nothing, are named, and can be got rid of.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/bytes.h"
#include "daemon/store/sqlite/sqlite_store.h"
#include "tests/daemon/store/once.h"
#include "tests/daemon/store/sqlite/ask.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace quantfleet::daemon {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class DamageTest : public ::testing::Test {
 protected:
  DamageTest() { store_ = OpenSqliteStore(database_).value(); }

  void Enroll(const std::string& id) {
    v1::Device device;
    device.set_id(id);
    device.set_state(v1::Device::ACTIVE);
    ASSERT_OK(Once(*store_)->devices().Create({HashText("key of " + id), "list", device, 1000}));
  }
  void Submit(const std::string& name) {
    JobRecord job;
    job.job.set_name(name);
    job.job.set_state(v1::Job::QUEUED);
    ASSERT_OK(Once(*store_)->jobs().Create(job, {}));
    ASSERT_OK(Once(*store_)->jobs().PutSlabs(name, {{0, "slab"}}));
  }
  std::string Seal(const std::string& manifest) {
    ArtifactRecord record;
    record.manifest = manifest;
    record.artifact.set_name("artifacts/" + HashText(manifest).hex());
    record.artifact.set_model("m");
    EXPECT_OK(Once(*store_)->artifacts().Put(record));
    return record.artifact.name();
  }
  void Damage(const std::string& table, const std::string& where) {
    Ask(database_, "UPDATE " + table + " SET record = 'CgX_' WHERE " + where);
  }
  template <typename List>
  auto Listed(const List& list) {
    return store_->Read([&](const Transaction& tx) {
      auto listed = list(tx);
      damaged_ = tx.damaged();
      return listed;
    });
  }

  testing::TempDir dir_;
  const fs::path database_ = dir_ / "s.db";
  std::unique_ptr<Store> store_;
  std::vector<Damaged> damaged_;
};

// As a daemon of before stored a job of a GGUF whose tokenizer.ggml.pre is not UTF-8.
TEST_F(DamageTest, TextThatIsNotUtf8IsStoredAndReadAsText) {
  JobRecord job;
  job.job.set_name("jobs/1");
  job.job.set_error_message("the model's pre-tokenizer '\xff\xfe' is not known");
  ASSERT_OK(Once(*store_)->jobs().Create(job, {}));
  EXPECT_EQ(Once(*store_)->jobs().Get("jobs/1")->job.error_message(),
            "the model's pre-tokenizer '\\xff\\xfe' is not known");
  Ask(database_,
      "UPDATE jobs SET record = '" + ToBase64Url(AsBytes(job.job.SerializeAsString())) + "'");
  EXPECT_EQ(Once(*store_)->jobs().Get("jobs/1")->job.error_message(),
            "the model's pre-tokenizer '\\xff\\xfe' is not known");
}

TEST_F(DamageTest, UnknownFieldsAreNeitherStoredNorRead) {
  Enroll("d1");
  v1::Device device = *Once(*store_)->devices().Get("d1");
  const size_t size = device.ByteSizeLong();
  v1::HardwareFacts& facts = *device.mutable_facts();
  facts.GetReflection()->MutableUnknownFields(&facts)->AddLengthDelimited(
      999, std::string(3'900'000, 'x'));
  ASSERT_OK(Once(*store_)->devices().Rewrite(device));
  EXPECT_LT(std::stoul(Ask(database_, "SELECT LENGTH(record) FROM devices")), 200u);
  Ask(database_,
      "UPDATE devices SET record = '" + ToBase64Url(AsBytes(device.SerializeAsString())) + "'");
  EXPECT_LT(Once(*store_)->devices().Get("d1")->ByteSizeLong(), size + 10);
}

TEST_F(DamageTest, DamagedStatementsAreNamedAndTheOthersSigned) {
  const auto statement = [](uint64_t) -> absl::StatusOr<v1::Signed> {
    v1::Signed made;
    made.set_payload("told");
    return made;
  };
  for (const char* device : {"d1", "d2"}) {
    Enroll(device);
    ASSERT_OK(Once(*store_)->assignments().Assign(device, "m", HashText("a").raw(), "", statement));
  }
  const std::string artifact = Seal("a");
  ASSERT_OK(Once(*store_)->artifacts().AddStatement(artifact, *statement(1)));
  Ask(database_, "UPDATE assignments SET statement = 'CgX_' WHERE device = 'd1'");
  Ask(database_, "UPDATE artifact_statements SET statement = 'CgX_'");
  const auto count = store_->Write([&](Transaction& tx) {
    auto added = tx.signatures().SignAnew([](v1::Signed&) { return true; });
    damaged_ = tx.damaged();
    return added;
  });
  ASSERT_OK(count.status());
  EXPECT_EQ(*count, 1u);
  EXPECT_THAT(damaged_,
              ElementsAre(Damaged{"artifact", artifact}, Damaged{"assignment", "m of device d1"}));
}

TEST_F(DamageTest, ADamagedJobHidesNoOtherAndDoesNotStopTheQueue) {
  for (const char* name : {"jobs/1", "jobs/2", "jobs/3"}) Submit(name);
  Damage("jobs", "name IN ('jobs/1')");
  const auto jobs = Listed([](const Transaction& tx) { return tx.jobs().List(); });
  ASSERT_OK(jobs);
  EXPECT_THAT(*jobs, SizeIs(2));
  EXPECT_THAT(damaged_, ElementsAre(Damaged{"job", "jobs/1"}));
  EXPECT_THAT(*Listed([](const Transaction& tx) { return tx.jobs().ListUnfinished(); }), SizeIs(2));

  EXPECT_EQ((*Once(*store_)->jobs().ClaimNextQueued())->job.name(), "jobs/2");
  Damage("jobs", "name IN ('jobs/2')");
  EXPECT_EQ(*Once(*store_)->jobs().RequeueRunning(), 0);
  EXPECT_EQ((*Once(*store_)->jobs().ClaimNextQueued())->job.name(), "jobs/3");
  EXPECT_EQ(*Once(*store_)->jobs().ClaimNextQueued(), std::nullopt);

  ASSERT_OK(Once(*store_)->jobs().Delete("jobs/1"));
  EXPECT_THAT(*Once(*store_)->jobs().ListSlabs("jobs/1"), IsEmpty());
}

TEST_F(DamageTest, ADamagedDeviceHidesNoOtherOnAnyPage) {
  for (const char* id : {"d1", "d2", "d3", "d4", "d5"}) Enroll(id);
  Damage("devices", "id IN ('d1', 'd3', 'd5')");
  const auto page = Listed([](const Transaction& tx) { return tx.devices().List("", 2); });
  ASSERT_OK(page);
  ASSERT_THAT(*page, SizeIs(2));
  EXPECT_EQ(page->back().id(), "d4");
  EXPECT_THAT(damaged_, ElementsAre(Damaged{"device", "d1"}, Damaged{"device", "d3"}));
  EXPECT_THAT(*Listed([](const Transaction& tx) { return tx.devices().List("d4", 2); }), IsEmpty());
  EXPECT_EQ(Once(*store_)->devices().Get("d1").status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(DamageTest, AStatusThatCannotBeReadIsReportedAgain) {
  Enroll("d1");
  const auto report = [](v1::Device& device) {
    device.clear_models();
    device.add_models()->set_model("m");
    return absl::OkStatus();
  };
  ASSERT_OK(Once(*store_)->devices().Update("d1", report));
  Damage("model_statuses", "device = 'd1'");
  EXPECT_EQ(Once(*store_)->devices().Get("d1")->models_size(), 0);
  ASSERT_OK(Once(*store_)->devices().Update("d1", report));
  EXPECT_EQ(Once(*store_)->devices().Get("d1")->models_size(), 1);
}

TEST_F(DamageTest, ADamagedArtifactHidesNoOtherAndCanBeDeleted) {
  const std::string bad = Seal("manifest 1"), good = Seal("manifest 2");
  Damage("artifacts", "'artifacts/' || digest = '" + bad + "'");
  const auto artifacts = Listed([](const Transaction& tx) { return tx.artifacts().List(""); });
  ASSERT_OK(artifacts);
  ASSERT_THAT(*artifacts, SizeIs(1));
  EXPECT_EQ(artifacts->front().name(), good);
  EXPECT_THAT(damaged_, ElementsAre(Damaged{"artifact", bad}));
  EXPECT_THAT(*Listed([](const Transaction& tx) { return tx.artifacts().ListManifests("", 9); }),
              SizeIs(2));  // what it needs is still known
  ASSERT_OK(Once(*store_)->artifacts().Delete(bad));
  EXPECT_THAT(*Listed([](const Transaction& tx) { return tx.artifacts().ListManifests("", 9); }),
              SizeIs(1));
}

TEST_F(DamageTest, ARolloutWhoseRecordIsDamagedIsPausedAndHoldsNobodyUp) {
  for (const char* name : {"rollouts/1", "rollouts/2"}) {
    v1::Rollout rollout;
    rollout.set_name(name);
    rollout.set_model("m");
    rollout.set_state(v1::Rollout::RUNNING);
    rollout.mutable_plan()->add_phases();
    for (const char* device : {"d1", "d2"}) rollout.add_devices()->set_device_id(device);
    ASSERT_OK(Once(*store_)->rollouts().Create(rollout, {}));
  }
  Damage("rollouts", "name = 'rollouts/1'");
  Damage("rollout_devices", "rollout = 'rollouts/2' AND device = 'd1'");
  const auto rollouts = Listed([](const Transaction& tx) { return tx.rollouts().List(); });
  ASSERT_OK(rollouts);
  ASSERT_THAT(*rollouts, SizeIs(2));
  EXPECT_EQ(rollouts->back().state(), v1::Rollout::PAUSED);
  EXPECT_EQ(rollouts->back().model(), "m");
  const auto page =
      Listed([](const Transaction& tx) { return tx.rollouts().GetPage("rollouts/2", "", 1); });
  ASSERT_OK(page);
  EXPECT_EQ(page->devices_size(), 1);
  EXPECT_EQ(page->next_page_token(), "d2");
  EXPECT_THAT(damaged_, ElementsAre(Damaged{"device of a rollout", "d1"}));
  v1::Rollout record = rollouts->back();
  record.set_state(v1::Rollout::ABORTED);
  ASSERT_OK(Once(*store_)->rollouts().PutRecord(record));
  EXPECT_EQ(Once(*store_)->rollouts().GetRecord("rollouts/1")->state(), v1::Rollout::ABORTED);
}

TEST_F(DamageTest, RequestIdsAreBoundedAndTheOldestForgotten) {
  const auto record = [&](const std::string& id) {
    return Once(*store_)->requests().Record({"M", id}, "r");
  };
  EXPECT_EQ(Once(*store_)->requests().Find({"M", std::string(3 << 20, 'x')}).status().code(),
            absl::StatusCode::kInvalidArgument);
  ASSERT_OK(record("first"));
  Ask(database_, "UPDATE counters SET value = value + " + std::to_string(kKeptRequests - 2) +
                     " WHERE name = 'requests'");
  ASSERT_OK(record("second"));
  EXPECT_NE(*Once(*store_)->requests().Find({"M", "first"}), std::nullopt);
  ASSERT_OK(record("third"));
  EXPECT_EQ(*Once(*store_)->requests().Find({"M", "first"}), std::nullopt);
  EXPECT_NE(*Once(*store_)->requests().Find({"M", "second"}), std::nullopt);
}

}  // namespace
}  // namespace quantfleet::daemon
