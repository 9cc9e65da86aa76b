#include "daemon/store/store.h"

#include <fstream>
#include <thread>

#include "tests/daemon/store/store_fixture.h"

namespace quantfleet::daemon {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

class StoreTest : public StoreFixture {};
INSTANTIATE_TEST_SUITE_P(Each, StoreTest, ::testing::ValuesIn(StoreBackends()), BackendName);

TEST_P(StoreTest, ModelsSurviveAReopenAndAreReplacedByName) {
  ASSERT_TRUE(Once(*store_)->models().Put(SomeModel("b", 1), {}).ok());
  ASSERT_TRUE(Once(*store_)->models().Put(SomeModel("a", 2), {}).ok());
  ASSERT_TRUE(Once(*store_)->models().Put(SomeModel("b", 3), {}).ok());
  Reopen();
  const auto models = Once(*store_)->models().List();
  ASSERT_TRUE(models.ok());
  ASSERT_EQ(models->size(), 2u);
  EXPECT_EQ((*models)[0].name(), "a");
  EXPECT_EQ((*models)[1].parameters(), 3u);
  EXPECT_EQ(Once(*store_)->models().Get("c").status().code(), absl::StatusCode::kNotFound);
}

TEST_P(StoreTest, TheSameRequestGetsTheFirstAnswer) {
  const Request request{"SubmitJob", "r1"};
  ASSERT_TRUE(Once(*store_)->jobs().Create(SomeJob("jobs/1"), request).ok());
  const auto again = Once(*store_)->jobs().Create(SomeJob("jobs/2"), request);
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->job.name(), "jobs/1");
  EXPECT_EQ(Once(*store_)->jobs().List()->size(), 1u);
  EXPECT_EQ(Once(*store_)->requests().Find(request)->value(), "jobs/1");
  // Another method's ids are its own.
  EXPECT_FALSE(Once(*store_)->requests().Find({"ImportModel", "r1"})->has_value());
}

TEST_P(StoreTest, JobsAreClaimedInOrderAndRequeuedAfterARestart) {
  ASSERT_TRUE(Once(*store_)->jobs().Create(SomeJob("jobs/z-first"), {}).ok());
  ASSERT_TRUE(Once(*store_)->jobs().Create(SomeJob("jobs/a-second"), {}).ok());
  const auto claimed = Once(*store_)->jobs().ClaimNextQueued();
  ASSERT_TRUE(claimed.ok() && claimed->has_value());
  EXPECT_EQ((*claimed)->job.name(), "jobs/z-first");
  EXPECT_EQ((*claimed)->job.state(), v1::Job::RUNNING);
  EXPECT_THAT((*claimed)->targets, ElementsAre("gguf:q4_0", "gguf:f16"));
  Reopen();
  EXPECT_EQ(*Once(*store_)->jobs().RequeueRunning(), 1);
  EXPECT_EQ((*Once(*store_)->jobs().ClaimNextQueued())->job.name(), "jobs/z-first");
  EXPECT_EQ((*Once(*store_)->jobs().ClaimNextQueued())->job.name(), "jobs/a-second");
  EXPECT_FALSE(Once(*store_)->jobs().ClaimNextQueued()->has_value());
}

TEST_P(StoreTest, SlabRecordsAreBytesAndReplaceEachOther) {
  ASSERT_TRUE(Once(*store_)->jobs().Create(SomeJob("jobs/1"), {}).ok());
  const std::string bytes("\0\xff'\"\n", 5);
  ASSERT_TRUE(Once(*store_)->jobs().PutSlabs("jobs/1", {{7, "old"}, {3, bytes}}).ok());
  ASSERT_TRUE(Once(*store_)->jobs().PutSlabs("jobs/1", {{7, "new"}}).ok());
  const auto slabs = Once(*store_)->jobs().ListSlabs("jobs/1");
  ASSERT_TRUE(slabs.ok());
  ASSERT_EQ(slabs->size(), 2u);
  EXPECT_EQ((*slabs)[0].slab, 3u);
  EXPECT_EQ((*slabs)[0].record, bytes);
  EXPECT_EQ((*slabs)[1].record, "new");
  // A slab of no job is refused by the schema.
  EXPECT_EQ(Once(*store_)->jobs().PutSlabs("jobs/none", {{1, "x"}}).code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST_P(StoreTest, AnArtifactOfTwoModelsIsOneArtifactAndTheNewestOfBoth) {
  auto artifact = [](const std::string& digest, const std::string& model, int64_t created) {
    ArtifactRecord record;
    record.artifact.set_name("artifacts/" + digest);
    record.artifact.set_model(model);
    record.artifact.set_created_ms(created);
    record.artifact.set_stored_bytes(10);
    record.manifest = std::string("\0m", 2);
    v1::Signed statement;
    statement.set_payload(model);
    record.statements.push_back(statement);
    return record;
  };
  const std::string one(64, 'a'), two = std::string(63, 'a') + "b";
  ASSERT_TRUE(Once(*store_)->artifacts().Put(artifact(one, "m", 1)).ok());
  ASSERT_TRUE(Once(*store_)->artifacts().Put(artifact(two, "m", 2)).ok());
  ASSERT_TRUE(Once(*store_)->artifacts().Put(artifact(one, "n", 3)).ok());
  ASSERT_TRUE(
      Once(*store_)->artifacts().Put(artifact(one, "m", 4)).ok());  // sealed again: newest of m
  const auto of_m = Once(*store_)->artifacts().List("m");
  ASSERT_TRUE(of_m.ok());
  ASSERT_EQ(of_m->size(), 2u);
  EXPECT_EQ((*of_m)[0].name(), "artifacts/" + one);
  EXPECT_EQ((*of_m)[0].created_ms(), 4);
  EXPECT_EQ(Once(*store_)->artifacts().List("")->size(), 3u);
  EXPECT_EQ(Once(*store_)->artifacts().List("n")->at(0).model(), "n");

  const auto detail = Once(*store_)->artifacts().Get("artifacts/" + one);
  ASSERT_TRUE(detail.ok()) << Describe(detail.status());
  EXPECT_EQ(detail->manifest, std::string("\0m", 2));
  EXPECT_EQ(detail->statements.size(), 2u);
  EXPECT_EQ(Once(*store_)->artifacts().Get(two)->artifact.name(), "artifacts/" + two);
  EXPECT_EQ(Once(*store_)->artifacts().Get("aaa").status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Once(*store_)->artifacts().Get("abc").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Once(*store_)->artifacts().Get("%").status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Once(*store_)->counts().Count(0)->stored_bytes, 20u);
}

TEST_P(StoreTest, AnArtifactIsDamagedUntilItsBlobsAreThere) {
  ArtifactRecord record;
  const std::string one = "artifacts/" + std::string(64, 'a'),
                    two = "artifacts/" + std::string(64, 'b');
  for (const std::string& name : {one, two}) {
    record.artifact.set_name(name);
    record.artifact.set_model("m");
    ASSERT_TRUE(Once(*store_)->artifacts().Put(record).ok());
  }
  const Digest x = HashText("x"), y = HashText("y"), itself = *Digest::FromHexText(one.substr(10));
  EXPECT_TRUE(*Once(*store_)->artifacts().MarkDamaged(one, {x, y, itself}, 7));
  EXPECT_FALSE(*Once(*store_)->artifacts().MarkDamaged(one, {x}, 9)) << "it is known";
  EXPECT_TRUE(*Once(*store_)->artifacts().MarkDamaged(two, {x}, 8));
  EXPECT_FALSE(*Once(*store_)->artifacts().MarkDamaged("artifacts/" + x.hex(), {x}, 8));
  Reopen();
  EXPECT_THAT(*Once(*store_)->artifacts().ListDamaged(), ElementsAre(one, two));
  EXPECT_EQ(Once(*store_)->artifacts().ListDamagedBlobs()->size(), 3u);
  EXPECT_EQ(Once(*store_)->counts().Count(0)->artifacts_damaged, 2u);
  const v1::ArtifactDamage damage = Once(*store_)->artifacts().Get(one)->artifact.damage();
  EXPECT_EQ(damage.blobs(), 2u);
  EXPECT_TRUE(damage.manifest());
  EXPECT_EQ(damage.found_ms(), 7);
  EXPECT_EQ(damage.remedy(), "quantfleet artifact repair aaaaaaaaaaaa");
  EXPECT_EQ(Once(*store_)->artifacts().List("m")->front().damage().blobs(), 1u);

  ASSERT_TRUE(Once(*store_)->artifacts().ClearDamage({x, HashText("another")}).ok());
  EXPECT_THAT(*Once(*store_)->artifacts().ListDamaged(), ElementsAre(one));
  EXPECT_FALSE(Once(*store_)->artifacts().Get(two)->artifact.has_damage());
  ASSERT_TRUE(Once(*store_)->artifacts().Delete(one).ok());
  EXPECT_THAT(*Once(*store_)->artifacts().ListDamagedBlobs(), IsEmpty());
}

TEST_P(StoreTest, AnArtifactMayBeOfSeveralVersions) {
  ArtifactRecord record;
  record.artifact.set_name("artifacts/" + std::string(64, 'a'));
  record.artifact.set_model("m");
  for (const uint64_t version : {1, 3}) {
    record.artifact.clear_versions();
    record.artifact.add_versions(version);
    ASSERT_TRUE(Once(*store_)->artifacts().Put(record).ok());
  }
  const auto listed = Once(*store_)->artifacts().List("m");
  ASSERT_TRUE(listed.ok());
  ASSERT_EQ(listed->size(), 1u);
  EXPECT_THAT((*listed)[0].versions(), ::testing::ElementsAre(3u, 1u));
  EXPECT_THAT(Once(*store_)->artifacts().Get("aaaa")->artifact.versions(),
              ::testing::ElementsAre(3u, 1u));
}

TEST_P(StoreTest, VersionsOfAModelCountUp) {
  v1::Model model;
  model.set_name("m");
  model.set_path("/one");
  EXPECT_EQ(Once(*store_)->models().Put(model, {"ImportModel", "r1"})->version(), 1u);
  model.set_path("/two");
  EXPECT_EQ(Once(*store_)->models().Put(model, {"ImportModel", "r2"})->version(), 2u);
  // The same request again: what it made, not what came after.
  EXPECT_EQ(Once(*store_)->models().Put(model, {"ImportModel", "r1"})->path(), "/one");
  EXPECT_EQ((*Once(*store_)->models().FindMade({"ImportModel", "r1"}))->version(), 1u);
  EXPECT_EQ(Once(*store_)->models().Get("m")->path(), "/two");
  EXPECT_EQ(Once(*store_)->models().GetVersion("m", 1)->path(), "/one");
  EXPECT_EQ(Once(*store_)->models().GetVersion("m", 3).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(Once(*store_)->models().ListVersions("m")->size(), 2u);
  EXPECT_EQ(Once(*store_)->models().ListVersions("n").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Once(*store_)->models().List()->size(), 1u);
  EXPECT_EQ(Once(*store_)->counts().Count(0)->models, 1u);
}

TEST_P(StoreTest, ReleasesCountUpPerDeviceAndModel) {
  Enroll("d1");
  Enroll("d2");
  auto sign = [](uint64_t release) -> absl::StatusOr<v1::Signed> {
    v1::Signed statement;
    statement.set_payload(std::to_string(release));
    return statement;
  };
  const std::string digest = HashText("a").raw();
  EXPECT_EQ(Once(*store_)->assignments().Assign("d1", "m", digest, "rollouts/1", sign)->release,
            1u);
  EXPECT_EQ(Once(*store_)->assignments().Assign("d1", "m", "", "", sign)->release, 2u);
  EXPECT_EQ(Once(*store_)->assignments().Assign("d1", "n", digest, "", sign)->release, 1u);
  EXPECT_EQ(Once(*store_)->assignments().Assign("d2", "m", digest, "", sign)->release, 1u);
  // A release whose statement was never made is not taken.
  auto refuse = [](uint64_t) -> absl::StatusOr<v1::Signed> { return Internal("no key"); };
  EXPECT_FALSE(Once(*store_)->assignments().Assign("d2", "m", digest, "", refuse).ok());
  Reopen();
  EXPECT_EQ(Once(*store_)->assignments().Assign("d2", "m", digest, "", sign)->release, 2u);
  const auto of_d1 = Once(*store_)->assignments().List("d1");
  ASSERT_TRUE(of_d1.ok());
  ASSERT_EQ(of_d1->size(), 2u);
  EXPECT_EQ((*of_d1)[0].statement.payload(), "2");
  EXPECT_EQ((*of_d1)[1].manifest_digest, digest);
  EXPECT_TRUE(*Once(*store_)->assignments().IsAssigned("d1", digest));
  EXPECT_FALSE(*Once(*store_)->assignments().IsAssigned("d1", HashText("b").raw()));
}

TEST_P(StoreTest, RolloutsAndTheirRows) {
  v1::Rollout rollout;
  rollout.set_name("rollouts/1");
  rollout.set_model("m");
  rollout.set_state(v1::Rollout::RUNNING);
  for (const char* id : {"d2", "d1"}) {
    auto& row = *rollout.add_devices();
    row.set_device_id(id);
    row.set_state(v1::RolloutDevice::PENDING);
  }
  ASSERT_TRUE(Once(*store_)->rollouts().Create(rollout, {"CreateRollout", "r"}).ok());
  EXPECT_EQ(Once(*store_)->rollouts().Create(rollout, {"CreateRollout", "r"})->devices_size(), 2);
  const auto rows = Once(*store_)->rollouts().ListActiveOf("d1");
  ASSERT_TRUE(rows.ok());
  ASSERT_EQ(rows->size(), 1u);
  v1::RolloutDevice row = (*rows)[0].device;
  row.set_state(v1::RolloutDevice::HEALTHY);
  row.set_phase(1);
  ASSERT_TRUE(Once(*store_)->rollouts().PutDevice("rollouts/1", row).ok());
  const auto counts = Once(*store_)->rollouts().CountDevices("rollouts/1");
  ASSERT_TRUE(counts.ok());
  ASSERT_EQ(counts->size(), 2u);
  EXPECT_EQ((*counts)[0].state, v1::RolloutDevice::PENDING);
  EXPECT_EQ((*counts)[1].state, v1::RolloutDevice::HEALTHY);
  EXPECT_EQ((*counts)[1].phase, 1u);
  EXPECT_EQ((*counts)[1].devices, 1u);
  EXPECT_EQ(Once(*store_)->counts().Count(0)->rollouts_running, 1u);
  EXPECT_THAT(*Once(*store_)->rollouts().ListActive(), ElementsAre("rollouts/1"));
  rollout.set_state(v1::Rollout::COMPLETED);
  rollout.set_finished_ms(9);
  ASSERT_TRUE(Once(*store_)->rollouts().PutRecord(rollout).ok());
  EXPECT_THAT(*Once(*store_)->rollouts().ListActiveOf("d1"), IsEmpty());
  EXPECT_THAT(*Once(*store_)->rollouts().ListActive(), IsEmpty());
  const auto all = Once(*store_)->rollouts().List();
  ASSERT_TRUE(all.ok());
  EXPECT_EQ((*all)[0].devices_size(), 0);
  ASSERT_EQ((*all)[0].counts_size(), 2);
  EXPECT_EQ((*all)[0].counts(1).state(), v1::RolloutDevice::HEALTHY);
  EXPECT_EQ((*all)[0].counts(1).phase(), 1u);
  EXPECT_EQ((*all)[0].counts(1).devices(), 1u);
  EXPECT_EQ((*all)[0].finished_ms(), 9);
}

TEST_P(StoreTest, ARolloutsRowsComeInPagesAndAsChanges) {
  v1::Rollout rollout;
  rollout.set_name("rollouts/1");
  rollout.set_state(v1::Rollout::RUNNING);
  for (const char* id : {"d1", "d2", "d3"}) rollout.add_devices()->set_device_id(id);
  ASSERT_TRUE(Once(*store_)->rollouts().Create(rollout, {}).ok());
  const auto ids = [](const absl::StatusOr<v1::Rollout>& page) {
    std::vector<std::string> all;
    for (const auto& row : page->devices()) all.push_back(row.device_id());
    return all;
  };
  auto page = Once(*store_)->rollouts().GetPage("rollouts/1", "", 2);
  EXPECT_THAT(ids(page), ElementsAre("d1", "d2"));
  EXPECT_EQ(page->counts(0).devices(), 3u);
  page = Once(*store_)->rollouts().GetPage("rollouts/1", page->next_page_token(), 2);
  EXPECT_THAT(ids(page), ElementsAre("d3"));
  EXPECT_EQ(page->next_page_token(), "");
  EXPECT_EQ(Once(*store_)->rollouts().GetPage("rollouts/1", "", 3)->next_page_token(), "");

  auto news = Once(*store_)->rollouts().GetChanges("rollouts/1", std::nullopt, 2);
  EXPECT_THAT(ids(news), IsEmpty());
  EXPECT_EQ(news->counts(0).devices(), 3u);
  const uint64_t start = news->revision();
  for (const char* id : {"d3", "d1", "d3", "d2"}) {
    v1::RolloutDevice row;
    row.set_device_id(id);
    row.set_state(v1::RolloutDevice::HEALTHY);
    ASSERT_TRUE(Once(*store_)->rollouts().PutDevice("rollouts/1", row).ok());
  }
  news = Once(*store_)->rollouts().GetChanges("rollouts/1", start, 2);
  EXPECT_THAT(ids(news), ElementsAre("d1", "d3"));
  news = Once(*store_)->rollouts().GetChanges("rollouts/1", news->revision(), 2);
  EXPECT_THAT(ids(news), ElementsAre("d2"));
  EXPECT_EQ(news->revision(),
            Once(*store_)->rollouts().GetChanges("rollouts/1", std::nullopt, 0)->revision());
  EXPECT_THAT(ids(Once(*store_)->rollouts().GetChanges("rollouts/1", news->revision(), 2)),
              IsEmpty());
}

TEST_P(StoreTest, QueuedAndOverdueDevicesAreFoundInOrder) {
  v1::Rollout rollout;
  rollout.set_name("rollouts/1");
  rollout.set_state(v1::Rollout::RUNNING);
  const auto add = [&](const char* id, uint32_t phase, uint32_t delay,
                       v1::RolloutDevice::State state) {
    auto& row = *rollout.add_devices();
    row.set_device_id(id);
    row.set_phase(phase);
    row.set_delay_ms(delay);
    row.set_state(state);
    if (state == v1::RolloutDevice::PENDING) row.set_deadline_ms(100);
  };
  add("a", 1, 0, v1::RolloutDevice::QUEUED);
  add("b", 0, 50, v1::RolloutDevice::QUEUED);
  add("c", 0, 10, v1::RolloutDevice::QUEUED);
  add("d", 0, 0, v1::RolloutDevice::PENDING);
  ASSERT_TRUE(Once(*store_)->rollouts().Create(rollout, {}).ok());
  const auto ids = [](const absl::StatusOr<std::vector<v1::RolloutDevice>>& rows) {
    std::vector<std::string> all;
    for (const auto& row : *rows) all.push_back(row.device_id());
    return all;
  };
  EXPECT_THAT(ids(Once(*store_)->rollouts().ListQueuedDevices("rollouts/1", 1, 50, 10)),
              ElementsAre("c", "b", "a"));
  EXPECT_THAT(ids(Once(*store_)->rollouts().ListQueuedDevices("rollouts/1", 0, 49, 10)),
              ElementsAre("c"));
  EXPECT_THAT(ids(Once(*store_)->rollouts().ListQueuedDevices("rollouts/1", 1, 50, 2)),
              ElementsAre("c", "b"));
  EXPECT_THAT(ids(Once(*store_)->rollouts().ListOverdueDevices("rollouts/1", 99)), IsEmpty());
  EXPECT_THAT(ids(Once(*store_)->rollouts().ListOverdueDevices("rollouts/1", 100)),
              ElementsAre("d"));
  EXPECT_THAT(ids(Once(*store_)->rollouts().ListDevices("rollouts/1", v1::RolloutDevice::PENDING)),
              ElementsAre("d"));
}

TEST_P(StoreTest, ADeviceMayJoinTheNewestDynamicRolloutOnly) {
  const auto make = [&](const char* name, bool dynamic, v1::Rollout::State state,
                        const char* device) {
    v1::Rollout rollout;
    rollout.set_name(name);
    rollout.set_model("m");
    rollout.set_state(state);
    rollout.mutable_plan()->set_dynamic(dynamic);
    if (*device) rollout.add_devices()->set_device_id(device);
    ASSERT_TRUE(Once(*store_)->rollouts().Create(rollout, {}).ok());
  };
  make("rollouts/1", true, v1::Rollout::COMPLETED, "");
  make("rollouts/2", false, v1::Rollout::RUNNING, "d1");
  make("rollouts/3", true, v1::Rollout::RUNNING, "d2");
  make("rollouts/4", true, v1::Rollout::ROLLED_BACK, "");
  EXPECT_THAT(*Once(*store_)->rollouts().ListToJoin("d3"), ElementsAre("rollouts/3", "rollouts/1"));
  EXPECT_THAT(*Once(*store_)->rollouts().ListToJoin("d2"), IsEmpty());
  EXPECT_THAT(*Once(*store_)->rollouts().ListToJoin("d1"), ElementsAre("rollouts/3"));
}

TEST_P(StoreTest, PushesRememberTheirFilesAndBecomeModels) {
  PushRecord push{.id = "p1", .model = "m", .files = {{"a/b", 5, HashText("x")}}, .created_ms = 1};
  ASSERT_TRUE(Once(*store_)->models().CreatePush(push, {}).ok());
  EXPECT_EQ(Once(*store_)->models().GetPush("p1")->files[0].sha256, HashText("x"));
  EXPECT_EQ(Once(*store_)->models().GetPush("p1")->version, 0u);
  ASSERT_TRUE(Once(*store_)->models().FinishPush("p1", 3).ok());
  EXPECT_TRUE(Once(*store_)->models().GetPush("p1")->committed);
  EXPECT_EQ(Once(*store_)->models().GetPush("p1")->version, 3u);
  ASSERT_TRUE(Once(*store_)->models().DeletePush("p1").ok());
  EXPECT_THAT(*Once(*store_)->models().ListPushes(), IsEmpty());
}

TEST_P(StoreTest, UpdateDeviceWritesOnlyWhatDiffers) {
  Enroll("d1");
  int changes = 0;
  auto watching = store_->changes().Subscribe([&](const Change&) { ++changes; });
  auto report = [&](v1::ModelStatus::Phase phase) {
    return Once(*store_)->devices().Update("d1", [&](v1::Device& device) -> absl::Status {
      device.set_agent_version("1");
      device.clear_models();
      v1::ModelStatus& status = *device.add_models();
      status.set_model("m");
      status.set_phase(phase);
      return absl::OkStatus();
    });
  };
  ASSERT_TRUE(report(v1::ModelStatus::DOWNLOADING).ok());
  EXPECT_EQ(changes, 1);
  ASSERT_TRUE(report(v1::ModelStatus::DOWNLOADING).ok());
  EXPECT_EQ(changes, 1);
  ASSERT_TRUE(report(v1::ModelStatus::HEALTHY).ok());
  EXPECT_EQ(changes, 2);
  const auto device = Once(*store_)->devices().Get("d1");
  ASSERT_TRUE(device.ok());
  ASSERT_EQ(device->models_size(), 1);
  EXPECT_EQ(device->models(0).phase(), v1::ModelStatus::HEALTHY);
  ASSERT_TRUE(Once(*store_)
                  ->devices()
                  .Update("d1",
                          [](v1::Device& d) -> absl::Status {
                            d.clear_models();
                            return absl::OkStatus();
                          })
                  .ok());
  EXPECT_EQ(Once(*store_)->devices().Get("d1")->models_size(), 0);
}

TEST_P(StoreTest, AKnownKeyGetsItsOldDeviceUnlessRevoked) {
  Enroll("d1");
  Enrollment again = SomeEnrollment("d1", "", 2000);
  again.device.set_id("another");
  again.device.clear_labels();
  again.device.set_device_class("edge-fp16");
  const auto device = Once(*store_)->devices().Create(again);
  ASSERT_TRUE(device.ok());
  EXPECT_EQ(device->id(), "d1");
  EXPECT_EQ(device->enrolled_ms(), 1000);
  EXPECT_EQ(Once(*store_)->devices().Get("d1")->device_class(), "edge-fp16");
  EXPECT_EQ(Once(*store_)->devices().Get("d1")->admitted_by(), "token t1")
      << "as nothing else let it in";
  EXPECT_EQ(Once(*store_)->devices().Get("d1")->labels().at("site"), "berlin");
  EXPECT_EQ(Once(*store_)->devices().FindByAdmission("token t1")->size(), 1u);

  ASSERT_TRUE(Once(*store_)
                  ->devices()
                  .Update("d1",
                          [](v1::Device& d) -> absl::Status {
                            d.set_state(v1::Device::REVOKED);
                            return absl::OkStatus();
                          })
                  .ok());
  EXPECT_EQ(Once(*store_)->devices().Create(again).status().code(),
            absl::StatusCode::kPermissionDenied);
}

TEST_P(StoreTest, ATimeOfContactInTheFutureIsNotTheLastOne) {
  constexpr int64_t kDay = 86'400'000;
  int64_t now = 1'800'000'000'000;
  Enroll("d1");
  Enroll("d2");
  for (const int64_t ahead : {int64_t{6'000}, 400 * kDay}) {
    for (const bool written : {false, true}) {
      now += 600'000;
      Touch("d1", now + ahead);
      if (written) {
        ASSERT_OK(store_->Flush());
      }
      // The clock is right again.
      EXPECT_EQ(Once(*store_)->counts().Count(now - 90'000, now)->devices_seen, 0u) << ahead;
      Touch("d1", now);
      EXPECT_EQ(Once(*store_)->devices().Get("d1")->last_seen_ms(), now) << ahead;
      ASSERT_OK(store_->Flush());
      EXPECT_EQ(Once(*store_)->counts().Count(now - 90'000, now)->devices_seen, 1u) << ahead;
      Reopen();
      EXPECT_EQ(Once(*store_)->devices().Get("d1")->last_seen_ms(), now) << ahead;
    }
  }
  // And times of contact are written every half minute as before.
  Touch("d2", now + 400 * kDay);
  Touch("d2", now);
  Touch("d2", now + 31'000);
  EXPECT_EQ(Once(*store_)->counts().Count(now, now + 31'000)->devices_seen, 2u);
}

TEST_P(StoreTest, LastSeenIsReadAtOnceAndWrittenLater) {
  Enroll("d1");
  Enroll("d2");
  Touch("d1", 40'000);
  EXPECT_EQ(Once(*store_)->devices().Get("d1")->last_seen_ms(), 40'000);
  Touch("d1", 39'000);  // an older contact changes nothing
  EXPECT_EQ(Once(*store_)->devices().Get("d1")->last_seen_ms(), 40'000);
  EXPECT_EQ(Once(*store_)->counts().Count(40'000)->devices_seen, 1u);
  Touch("d1", 50'000);
  Reopen();
  EXPECT_EQ(Once(*store_)->devices().Get("d1")->last_seen_ms(), 50'000);
  const auto page = Once(*store_)->devices().List("d1", 10);
  ASSERT_TRUE(page.ok());
  ASSERT_EQ(page->size(), 1u);
  EXPECT_EQ((*page)[0].id(), "d2");
  EXPECT_EQ(Once(*store_)->devices().FindByKey(HashText("key of d2"))->id(), "d2");
}

TEST_P(StoreTest, ADeviceAndItsKeyAreReadTogether) {
  const v1::Device enrolled = Enroll("d1");
  EXPECT_EQ(enrolled.last_seen_ms(), 1000);
  Touch("d1", 2000);
  const auto keyed = Once(*store_)->devices().GetWithKey("d1");
  ASSERT_TRUE(keyed.ok()) << Describe(keyed.status());
  EXPECT_EQ(keyed->public_key, HashText("key of d1"));
  EXPECT_EQ(keyed->device.id(), "d1");
  EXPECT_EQ(keyed->device.last_seen_ms(), 2000);
  EXPECT_EQ(Once(*store_)->devices().List("", 10)->at(0).last_seen_ms(), 2000);
  EXPECT_EQ(Once(*store_)->devices().GetWithKey("d2").status().code(), absl::StatusCode::kNotFound);
}

TEST_P(StoreTest, ManyThreadsWriteWithoutLosingAnything) {
  ASSERT_TRUE(Once(*store_)->jobs().Create(SomeJob("jobs/1"), {}).ok());
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 10; ++i) {
        auto done = store_->Write([](Transaction& tx) {
          return tx.jobs().Update("jobs/1", [](JobRecord& job) -> absl::Status {
            job.job.mutable_progress()->set_slabs_done(job.job.progress().slabs_done() + 1);
            return absl::OkStatus();
          });
        });
        ASSERT_TRUE(done.ok());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(Once(*store_)->jobs().Get("jobs/1")->job.progress().slabs_done(), 40u);
}

}  // namespace
}  // namespace quantfleet::daemon
