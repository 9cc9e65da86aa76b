#include "daemon/store/sql/store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <thread>

#include "common/base/retry_after.h"
#include "tests/support/temp_dir.h"

namespace quantfleet::daemon {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

class StoreTest : public ::testing::Test {
 protected:
  StoreTest() { Reopen(); }
  void Reopen() {
    store_.reset();
    auto store = Store::Open(dir_ / "state with space.db");
    ASSERT_TRUE(store.ok()) << Describe(store.status());
    store_ = std::move(*store);
  }

  static v1::Model SomeModel(const std::string& name, uint64_t parameters = 7) {
    v1::Model model;
    model.set_name(name);
    model.set_parameters(parameters);
    return model;
  }
  static JobRecord SomeJob(const std::string& name) {
    JobRecord job;
    job.job.set_name(name);
    job.job.set_state(v1::Job::QUEUED);
    job.source_path = "/models/m";
    job.targets = {"gguf:q4_0", "gguf:f16"};
    return job;
  }
  v1::Device Enroll(const std::string& id, const std::string& token = "t1",
                    const std::string& secret = "s") {
    auto device = Use(id, token, secret);
    EXPECT_TRUE(device.ok()) << Describe(device.status());
    return device.ok() ? *device : v1::Device();
  }
  static Enrollment SomeEnrollment(const std::string& id, const std::string& admission,
                                   int64_t now_ms = 1000) {
    v1::Device device;
    device.set_id(id);
    device.set_state(v1::Device::ACTIVE);
    device.set_enrolled_ms(now_ms);
    device.set_admitted_by(admission);
    return {HashText("key of " + id), admission, device, now_ms};
  }
  // As an enrollment by token does it: both steps, or neither.
  absl::StatusOr<v1::Device> Use(const std::string& id, const std::string& token,
                                 const std::string& secret, int64_t now_ms = 1000) {
    absl::StatusOr<v1::Device> device;
    const absl::Status status = store_->Atomically([&]() -> absl::Status {
      const Digest key = HashText("key of " + id);
      const bool enrolled = store_->FindDeviceByKey(key).ok();
      QF_ASSIGN_OR_RETURN(const auto used,
                          store_->UseToken(token, HashText(secret), key, enrolled, now_ms));
      Enrollment enrollment = SomeEnrollment(id, "token " + token, now_ms);
      *enrollment.device.mutable_labels() = used.labels();
      device = store_->CreateDevice(enrollment);
      return device.status();
    });
    return status.ok() ? device : status;
  }
  void MakeToken(const std::string& id, uint32_t max_uses = 0, int64_t expires_ms = 5000) {
    v1::EnrollmentToken token;
    token.set_id(id);
    token.set_max_uses(max_uses);
    token.set_expires_ms(expires_ms);
    (*token.mutable_labels())["site"] = "berlin";
    ASSERT_TRUE(store_->CreateToken(token, HashText("s"), {}).ok());
  }

  testing::TempDir dir_;
  std::unique_ptr<Store> store_;
};

TEST_F(StoreTest, ModelsSurviveAReopenAndAreReplacedByName) {
  ASSERT_TRUE(store_->PutModel(SomeModel("b", 1), {}).ok());
  ASSERT_TRUE(store_->PutModel(SomeModel("a", 2), {}).ok());
  ASSERT_TRUE(store_->PutModel(SomeModel("b", 3), {}).ok());
  Reopen();
  const auto models = store_->ListModels();
  ASSERT_TRUE(models.ok());
  ASSERT_EQ(models->size(), 2u);
  EXPECT_EQ((*models)[0].name(), "a");
  EXPECT_EQ((*models)[1].parameters(), 3u);
  EXPECT_EQ(store_->GetModel("c").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(StoreTest, TheSameRequestGetsTheFirstAnswer) {
  const Request request{"SubmitJob", "r1"};
  ASSERT_TRUE(store_->CreateJob(SomeJob("jobs/1"), request).ok());
  const auto again = store_->CreateJob(SomeJob("jobs/2"), request);
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->job.name(), "jobs/1");
  EXPECT_EQ(store_->ListJobs()->size(), 1u);
  EXPECT_EQ(store_->FindRequest(request)->value(), "jobs/1");
  // Another method's ids are its own.
  EXPECT_FALSE(store_->FindRequest({"ImportModel", "r1"})->has_value());
}

TEST_F(StoreTest, AtomicallyTakesBackAllOnError) {
  std::vector<std::string> changes;
  auto watching =
      store_->changes().Subscribe([&](const Change& change) { changes.push_back(change.name); });
  const absl::Status status = store_->Atomically([&]() -> absl::Status {
    QF_RETURN_IF_ERROR(store_->PutModel(SomeModel("lost"), {}).status());
    return Aborted("no");
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kAborted);
  EXPECT_THAT(*store_->ListModels(), IsEmpty());
  EXPECT_THAT(changes, IsEmpty());
}

TEST_F(StoreTest, AFailedPartOfATransactionIsTakenBackAlone) {
  std::vector<std::string> changes;
  auto watching =
      store_->changes().Subscribe([&](const Change& change) { changes.push_back(change.name); });
  ASSERT_TRUE(store_
                  ->Atomically([&]() -> absl::Status {
                    QF_RETURN_IF_ERROR(store_->PutModel(SomeModel("kept"), {}).status());
                    (void)store_->Atomically([&]() -> absl::Status {
                      QF_RETURN_IF_ERROR(store_->PutModel(SomeModel("lost"), {}).status());
                      return Aborted("no");
                    });
                    return absl::OkStatus();
                  })
                  .ok());
  EXPECT_EQ(store_->ListModels()->size(), 1u);
  EXPECT_THAT(changes, ElementsAre("kept"));
}

TEST_F(StoreTest, AnExceptionInACallbackBecomesAStatusAndTakesTheTransactionBack) {
  ASSERT_TRUE(store_->CreateJob(SomeJob("jobs/1"), {}).ok());
  const auto result = store_->UpdateJob("jobs/1", [](JobRecord& job) -> absl::Status {
    job.job.set_state(v1::Job::FAILED);
    throw std::runtime_error("surprise");
  });
  EXPECT_EQ(result.status().code(), absl::StatusCode::kInternal);
  EXPECT_EQ(store_->GetJob("jobs/1")->job.state(), v1::Job::QUEUED);
}

TEST_F(StoreTest, JobsAreClaimedInOrderAndRequeuedAfterARestart) {
  ASSERT_TRUE(store_->CreateJob(SomeJob("jobs/z-first"), {}).ok());
  ASSERT_TRUE(store_->CreateJob(SomeJob("jobs/a-second"), {}).ok());
  const auto claimed = store_->ClaimNextQueued();
  ASSERT_TRUE(claimed.ok() && claimed->has_value());
  EXPECT_EQ((*claimed)->job.name(), "jobs/z-first");
  EXPECT_EQ((*claimed)->job.state(), v1::Job::RUNNING);
  EXPECT_THAT((*claimed)->targets, ElementsAre("gguf:q4_0", "gguf:f16"));
  Reopen();
  EXPECT_EQ(*store_->RequeueRunning(), 1);
  EXPECT_EQ((*store_->ClaimNextQueued())->job.name(), "jobs/z-first");
  EXPECT_EQ((*store_->ClaimNextQueued())->job.name(), "jobs/a-second");
  EXPECT_FALSE(store_->ClaimNextQueued()->has_value());
}

TEST_F(StoreTest, SlabRecordsAreBytesAndReplaceEachOther) {
  ASSERT_TRUE(store_->CreateJob(SomeJob("jobs/1"), {}).ok());
  const std::string bytes("\0\xff'\"\n", 5);
  ASSERT_TRUE(store_->PutJobSlabs("jobs/1", {{7, "old"}, {3, bytes}}).ok());
  ASSERT_TRUE(store_->PutJobSlabs("jobs/1", {{7, "new"}}).ok());
  const auto slabs = store_->ListJobSlabs("jobs/1");
  ASSERT_TRUE(slabs.ok());
  ASSERT_EQ(slabs->size(), 2u);
  EXPECT_EQ((*slabs)[0].slab, 3u);
  EXPECT_EQ((*slabs)[0].record, bytes);
  EXPECT_EQ((*slabs)[1].record, "new");
  // A slab of no job is refused by the schema.
  EXPECT_EQ(store_->PutJobSlabs("jobs/none", {{1, "x"}}).code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST_F(StoreTest, AnArtifactOfTwoModelsIsOneArtifactAndTheNewestOfBoth) {
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
  ASSERT_TRUE(store_->PutArtifact(artifact(one, "m", 1)).ok());
  ASSERT_TRUE(store_->PutArtifact(artifact(two, "m", 2)).ok());
  ASSERT_TRUE(store_->PutArtifact(artifact(one, "n", 3)).ok());
  ASSERT_TRUE(store_->PutArtifact(artifact(one, "m", 4)).ok());  // sealed again: newest of m
  const auto of_m = store_->ListArtifacts("m");
  ASSERT_TRUE(of_m.ok());
  ASSERT_EQ(of_m->size(), 2u);
  EXPECT_EQ((*of_m)[0].name(), "artifacts/" + one);
  EXPECT_EQ((*of_m)[0].created_ms(), 4);
  EXPECT_EQ(store_->ListArtifacts("")->size(), 3u);
  EXPECT_EQ(store_->ListArtifacts("n")->at(0).model(), "n");

  const auto detail = store_->GetArtifact("artifacts/" + one);
  ASSERT_TRUE(detail.ok()) << Describe(detail.status());
  EXPECT_EQ(detail->manifest, std::string("\0m", 2));
  EXPECT_EQ(detail->statements.size(), 2u);
  EXPECT_EQ(store_->GetArtifact(two)->artifact.name(), "artifacts/" + two);
  EXPECT_EQ(store_->GetArtifact("aaa").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(store_->GetArtifact("abc").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(store_->GetArtifact("%").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(store_->Count(0)->stored_bytes, 20u);
}

TEST_F(StoreTest, ATokenIsCheckedAndCounted) {
  MakeToken("t1", 2);
  EXPECT_EQ(Enroll("d1").labels().at("site"), "berlin");
  EXPECT_EQ(store_->GetToken("t1")->uses(), 1u);

  const auto wrong = Use("d2", "t1", "guess");
  EXPECT_EQ(wrong.status().code(), absl::StatusCode::kUnauthenticated);
  const auto unknown = Use("d2", "t9", "s");
  EXPECT_EQ(unknown.status().code(), absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(Message(wrong.status()), Message(unknown.status()));
  EXPECT_EQ(store_->GetToken("t1")->uses(), 1u);

  const auto late = Use("d2", "t1", "s", 5000);
  EXPECT_EQ(late.status().code(), absl::StatusCode::kPermissionDenied);
  Enroll("d2");
  const auto third = Use("d3", "t1", "s");
  EXPECT_EQ(third.status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(Message(third.status()), HasSubstr("used up"));
  EXPECT_EQ(store_->GetDevice("d3").status().code(), absl::StatusCode::kNotFound);

  // The answer to d2 was lost; it asks again with the token that it has used up.
  EXPECT_EQ(Enroll("d2").id(), "d2");
  EXPECT_EQ(store_->GetToken("t1")->uses(), 2u);

  // Revoked, it lets nobody else in, and puts nobody out.
  ASSERT_TRUE(store_->RevokeToken("t1").ok());
  EXPECT_EQ(Use("d3", "t1", "s").status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(Enroll("d2", "t1").id(), "d2");
  EXPECT_EQ(store_->GetToken("t1")->uses(), 2u);
}

TEST_F(StoreTest, ATokensRateHoldsForAnyHour) {
  constexpr int64_t kHour = 3'600'000, kStart = 10 * kHour;
  MakeToken("t1", 0, 100 * kHour);
  v1::EnrollmentToken slow;
  slow.set_id("slow");
  slow.set_expires_ms(100 * kHour);
  slow.set_rate_per_hour(2);
  ASSERT_TRUE(store_->CreateToken(slow, HashText("s"), {}).ok());
  ASSERT_TRUE(Use("d1", "slow", "s", kStart).ok());
  ASSERT_TRUE(Use("d2", "slow", "s", kStart + kHour / 2).ok());
  const auto third = Use("d3", "slow", "s", kStart + kHour - 1000);
  EXPECT_EQ(third.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(RetryAfter(third.status()), Duration(1000));
  EXPECT_EQ(store_->GetToken("slow")->uses(), 2u);
  ASSERT_TRUE(Use("d1", "slow", "s", kStart + kHour - 1000).ok())
      << "who came before is not held up";
  Reopen();
  ASSERT_TRUE(Use("d3", "slow", "s", kStart + kHour).ok());
  EXPECT_EQ(RetryAfter(Use("d4", "slow", "s", kStart + kHour).status()), Duration(kHour / 2));
  // A clock that was set back.
  EXPECT_EQ(RetryAfter(Use("d4", "slow", "s", kStart - kHour).status()), Duration(kHour));
}

TEST_F(StoreTest, AKnownKeyGetsItsOldDeviceUnlessRevoked) {
  MakeToken("t1");
  MakeToken("t2");
  Enroll("d1");
  Enrollment again = SomeEnrollment("d1", "", 2000);
  again.device.set_id("another");
  again.device.set_device_class("edge-fp16");
  ASSERT_TRUE(store_->UseToken("t2", HashText("s"), again.public_key, true, 2000).ok());
  const auto device = store_->CreateDevice(again);
  ASSERT_TRUE(device.ok());
  EXPECT_EQ(device->id(), "d1");
  EXPECT_EQ(device->enrolled_ms(), 1000);
  EXPECT_EQ(store_->GetDevice("d1")->device_class(), "edge-fp16");
  EXPECT_EQ(store_->GetDevice("d1")->admitted_by(), "token t1") << "as nothing else let it in";
  EXPECT_EQ(store_->GetDevice("d1")->labels().at("site"), "berlin");
  EXPECT_EQ(store_->FindDevicesByAdmission("token t1")->size(), 1u);
  EXPECT_EQ(store_->GetToken("t2")->uses(), 1u);

  ASSERT_TRUE(store_
                  ->UpdateDevice("d1",
                                 [](v1::Device& d) -> absl::Status {
                                   d.set_state(v1::Device::REVOKED);
                                   return absl::OkStatus();
                                 })
                  .ok());
  EXPECT_EQ(store_->CreateDevice(again).status().code(), absl::StatusCode::kPermissionDenied);
}

TEST_F(StoreTest, UpdateDeviceWritesOnlyWhatDiffers) {
  MakeToken("t1");
  Enroll("d1");
  int changes = 0;
  auto watching = store_->changes().Subscribe([&](const Change&) { ++changes; });
  auto report = [&](v1::ModelStatus::Phase phase) {
    return store_->UpdateDevice("d1", [&](v1::Device& device) -> absl::Status {
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
  const auto device = store_->GetDevice("d1");
  ASSERT_TRUE(device.ok());
  ASSERT_EQ(device->models_size(), 1);
  EXPECT_EQ(device->models(0).phase(), v1::ModelStatus::HEALTHY);
  ASSERT_TRUE(store_
                  ->UpdateDevice("d1",
                                 [](v1::Device& d) -> absl::Status {
                                   d.clear_models();
                                   return absl::OkStatus();
                                 })
                  .ok());
  EXPECT_EQ(store_->GetDevice("d1")->models_size(), 0);
}

TEST_F(StoreTest, LastSeenIsReadAtOnceAndWrittenLater) {
  MakeToken("t1");
  Enroll("d1");
  Enroll("d2");
  store_->TouchDevice("d1", 40'000);
  EXPECT_EQ(store_->GetDevice("d1")->last_seen_ms(), 40'000);
  store_->TouchDevice("d1", 39'000);  // an older contact changes nothing
  EXPECT_EQ(store_->GetDevice("d1")->last_seen_ms(), 40'000);
  EXPECT_EQ(store_->Count(40'000)->devices_seen, 1u);
  store_->TouchDevice("d1", 50'000);
  Reopen();
  EXPECT_EQ(store_->GetDevice("d1")->last_seen_ms(), 50'000);
  const auto page = store_->ListDevices("d1", 10);
  ASSERT_TRUE(page.ok());
  ASSERT_EQ(page->size(), 1u);
  EXPECT_EQ((*page)[0].id(), "d2");
  EXPECT_EQ(store_->FindDeviceByKey(HashText("key of d2"))->id(), "d2");
  EXPECT_EQ(*store_->DeviceKey("d1"), HashText("key of d1"));
}

TEST_F(StoreTest, ADeviceAndItsKeyAreReadTogether) {
  MakeToken("t1");
  const v1::Device enrolled = Enroll("d1");
  EXPECT_EQ(enrolled.last_seen_ms(), 1000);
  store_->TouchDevice("d1", 2000);
  const auto keyed = store_->GetDeviceWithKey("d1");
  ASSERT_TRUE(keyed.ok()) << Describe(keyed.status());
  EXPECT_EQ(keyed->public_key, HashText("key of d1"));
  EXPECT_EQ(keyed->device.id(), "d1");
  EXPECT_EQ(keyed->device.last_seen_ms(), 2000);
  EXPECT_EQ(store_->ListDevices("", 10)->at(0).last_seen_ms(), 2000);
  EXPECT_EQ(store_->GetDeviceWithKey("d2").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(StoreTest, ReleasesCountUpPerDeviceAndModel) {
  MakeToken("t1");
  Enroll("d1");
  Enroll("d2");
  auto sign = [](uint64_t release) -> absl::StatusOr<v1::Signed> {
    v1::Signed statement;
    statement.set_payload(std::to_string(release));
    return statement;
  };
  const std::string digest = HashText("a").raw();
  EXPECT_EQ(store_->AssignRelease("d1", "m", digest, "rollouts/1", sign)->release, 1u);
  EXPECT_EQ(store_->AssignRelease("d1", "m", "", "", sign)->release, 2u);
  EXPECT_EQ(store_->AssignRelease("d1", "n", digest, "", sign)->release, 1u);
  EXPECT_EQ(store_->AssignRelease("d2", "m", digest, "", sign)->release, 1u);
  // A release whose statement was never made is not taken.
  auto refuse = [](uint64_t) -> absl::StatusOr<v1::Signed> { return Internal("no key"); };
  EXPECT_FALSE(store_->AssignRelease("d2", "m", digest, "", refuse).ok());
  Reopen();
  EXPECT_EQ(store_->AssignRelease("d2", "m", digest, "", sign)->release, 2u);
  const auto of_d1 = store_->ListAssignments("d1");
  ASSERT_TRUE(of_d1.ok());
  ASSERT_EQ(of_d1->size(), 2u);
  EXPECT_EQ((*of_d1)[0].statement.payload(), "2");
  EXPECT_EQ((*of_d1)[1].manifest_digest, digest);
  EXPECT_TRUE(*store_->IsAssigned("d1", digest));
  EXPECT_FALSE(*store_->IsAssigned("d1", HashText("b").raw()));
}

TEST_F(StoreTest, RolloutsAndTheirRows) {
  v1::Rollout rollout;
  rollout.set_name("rollouts/1");
  rollout.set_model("m");
  rollout.set_state(v1::Rollout::RUNNING);
  for (const char* id : {"d2", "d1"}) {
    auto& row = *rollout.add_devices();
    row.set_device_id(id);
    row.set_state(v1::RolloutDevice::PENDING);
  }
  ASSERT_TRUE(store_->CreateRollout(rollout, {"CreateRollout", "r"}).ok());
  EXPECT_EQ(store_->CreateRollout(rollout, {"CreateRollout", "r"})->devices_size(), 2);
  const auto rows = store_->ListActiveRolloutsOf("d1");
  ASSERT_TRUE(rows.ok());
  ASSERT_EQ(rows->size(), 1u);
  v1::RolloutDevice row = (*rows)[0].device;
  row.set_state(v1::RolloutDevice::HEALTHY);
  row.set_phase(1);
  ASSERT_TRUE(store_->PutRolloutDevice("rollouts/1", row).ok());
  const auto counts = store_->CountRolloutDevices("rollouts/1");
  ASSERT_TRUE(counts.ok());
  ASSERT_EQ(counts->size(), 2u);
  EXPECT_EQ((*counts)[0].state, v1::RolloutDevice::PENDING);
  EXPECT_EQ((*counts)[1].state, v1::RolloutDevice::HEALTHY);
  EXPECT_EQ((*counts)[1].phase, 1u);
  EXPECT_EQ((*counts)[1].devices, 1u);
  EXPECT_EQ(store_->Count(0)->rollouts_running, 1u);
  EXPECT_THAT(*store_->ListActiveRollouts(), ElementsAre("rollouts/1"));
  rollout.set_state(v1::Rollout::COMPLETED);
  rollout.set_finished_ms(9);
  ASSERT_TRUE(store_->PutRolloutHead(rollout).ok());
  EXPECT_THAT(*store_->ListActiveRolloutsOf("d1"), IsEmpty());
  EXPECT_THAT(*store_->ListActiveRollouts(), IsEmpty());
  const auto all = store_->ListRollouts();
  ASSERT_TRUE(all.ok());
  EXPECT_EQ((*all)[0].devices_size(), 0);
  ASSERT_EQ((*all)[0].counts_size(), 2);
  EXPECT_EQ((*all)[0].counts(1).state(), v1::RolloutDevice::HEALTHY);
  EXPECT_EQ((*all)[0].counts(1).phase(), 1u);
  EXPECT_EQ((*all)[0].counts(1).devices(), 1u);
  EXPECT_EQ((*all)[0].finished_ms(), 9);
}

TEST_F(StoreTest, ARolloutsRowsComeInPagesAndAsChanges) {
  v1::Rollout rollout;
  rollout.set_name("rollouts/1");
  rollout.set_state(v1::Rollout::RUNNING);
  for (const char* id : {"d1", "d2", "d3"}) rollout.add_devices()->set_device_id(id);
  ASSERT_TRUE(store_->CreateRollout(rollout, {}).ok());
  const auto ids = [](const absl::StatusOr<v1::Rollout>& page) {
    std::vector<std::string> all;
    for (const auto& row : page->devices()) all.push_back(row.device_id());
    return all;
  };
  auto page = store_->GetRolloutPage("rollouts/1", "", 2);
  EXPECT_THAT(ids(page), ElementsAre("d1", "d2"));
  EXPECT_EQ(page->counts(0).devices(), 3u);
  page = store_->GetRolloutPage("rollouts/1", page->next_page_token(), 2);
  EXPECT_THAT(ids(page), ElementsAre("d3"));
  EXPECT_EQ(page->next_page_token(), "");
  EXPECT_EQ(store_->GetRolloutPage("rollouts/1", "", 3)->next_page_token(), "");

  auto news = store_->GetRolloutChanges("rollouts/1", std::nullopt, 2);
  EXPECT_THAT(ids(news), IsEmpty());
  EXPECT_EQ(news->counts(0).devices(), 3u);
  const uint64_t start = news->revision();
  for (const char* id : {"d3", "d1", "d3", "d2"}) {
    v1::RolloutDevice row;
    row.set_device_id(id);
    row.set_state(v1::RolloutDevice::HEALTHY);
    ASSERT_TRUE(store_->PutRolloutDevice("rollouts/1", row).ok());
  }
  news = store_->GetRolloutChanges("rollouts/1", start, 2);
  EXPECT_THAT(ids(news), ElementsAre("d1", "d3"));
  news = store_->GetRolloutChanges("rollouts/1", news->revision(), 2);
  EXPECT_THAT(ids(news), ElementsAre("d2"));
  EXPECT_EQ(news->revision(), store_->GetRolloutChanges("rollouts/1", std::nullopt, 0)->revision());
  EXPECT_THAT(ids(store_->GetRolloutChanges("rollouts/1", news->revision(), 2)), IsEmpty());
}

TEST_F(StoreTest, QueuedAndOverdueDevicesAreFoundInOrder) {
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
  ASSERT_TRUE(store_->CreateRollout(rollout, {}).ok());
  const auto ids = [](const absl::StatusOr<std::vector<v1::RolloutDevice>>& rows) {
    std::vector<std::string> all;
    for (const auto& row : *rows) all.push_back(row.device_id());
    return all;
  };
  EXPECT_THAT(ids(store_->ListQueuedDevices("rollouts/1", 1, 50, 10)), ElementsAre("c", "b", "a"));
  EXPECT_THAT(ids(store_->ListQueuedDevices("rollouts/1", 0, 49, 10)), ElementsAre("c"));
  EXPECT_THAT(ids(store_->ListQueuedDevices("rollouts/1", 1, 50, 2)), ElementsAre("c", "b"));
  EXPECT_THAT(ids(store_->ListOverdueDevices("rollouts/1", 99)), IsEmpty());
  EXPECT_THAT(ids(store_->ListOverdueDevices("rollouts/1", 100)), ElementsAre("d"));
  EXPECT_THAT(ids(store_->ListRolloutDevices("rollouts/1", v1::RolloutDevice::PENDING)),
              ElementsAre("d"));
}

TEST_F(StoreTest, ADeviceMayJoinTheNewestDynamicRolloutOnly) {
  const auto make = [&](const char* name, bool dynamic, v1::Rollout::State state,
                        const char* device) {
    v1::Rollout rollout;
    rollout.set_name(name);
    rollout.set_model("m");
    rollout.set_state(state);
    rollout.mutable_plan()->set_dynamic(dynamic);
    if (*device) rollout.add_devices()->set_device_id(device);
    ASSERT_TRUE(store_->CreateRollout(rollout, {}).ok());
  };
  make("rollouts/1", true, v1::Rollout::COMPLETED, "");
  make("rollouts/2", false, v1::Rollout::RUNNING, "d1");
  make("rollouts/3", true, v1::Rollout::RUNNING, "d2");
  make("rollouts/4", true, v1::Rollout::ROLLED_BACK, "");
  EXPECT_THAT(*store_->ListRolloutsToJoin("d3"), ElementsAre("rollouts/3", "rollouts/1"));
  EXPECT_THAT(*store_->ListRolloutsToJoin("d2"), IsEmpty());
  EXPECT_THAT(*store_->ListRolloutsToJoin("d1"), ElementsAre("rollouts/3"));
}

TEST_F(StoreTest, PushesRememberTheirFilesAndBecomeModels) {
  PushRecord push{.id = "p1", .model = "m", .files = {{"a/b", 5, HashText("x")}}, .created_ms = 1};
  ASSERT_TRUE(store_->CreatePush(push, {}).ok());
  EXPECT_EQ(store_->GetPush("p1")->files[0].sha256, HashText("x"));
  ASSERT_TRUE(store_->FinishPush("p1", SomeModel("m")).ok());
  EXPECT_TRUE(store_->GetPush("p1")->committed);
  EXPECT_TRUE(store_->GetModel("m").ok());
  ASSERT_TRUE(store_->DeletePush("p1").ok());
  EXPECT_THAT(*store_->ListPushes(), IsEmpty());
}

TEST_F(StoreTest, ManyThreadsWriteWithoutLosingAnything) {
  ASSERT_TRUE(store_->CreateJob(SomeJob("jobs/1"), {}).ok());
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 10; ++i) {
        auto done = store_->UpdateJob("jobs/1", [](JobRecord& job) -> absl::Status {
          job.job.mutable_progress()->set_slabs_done(job.job.progress().slabs_done() + 1);
          return absl::OkStatus();
        });
        ASSERT_TRUE(done.ok());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(store_->GetJob("jobs/1")->job.progress().slabs_done(), 40u);
}

TEST(StoreOpenTest, ADamagedFileIsRefusedByName) {
  testing::TempDir dir;
  std::ofstream(dir / "s.db") << std::string(5000, 'x');
  const auto store = Store::Open(dir / "s.db");
  EXPECT_EQ(store.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(Message(store.status()), HasSubstr("s.db"));
}

}  // namespace
}  // namespace quantfleet::daemon
