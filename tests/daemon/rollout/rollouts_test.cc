#include "daemon/rollout/rollouts.h"

#include "common/trust/statement.h"
#include "tests/daemon/rollout/rollout_fixture.h"
#include "tests/daemon/store/once.h"
#include "tests/support/status_matchers.h"

namespace quantfleet::daemon {
namespace {

using ::testing::HasSubstr;
using testing::Names;

class RolloutTest : public RolloutFixture {
 protected:
  RolloutTest() {
    Enrolled(iot_);
    Enrolled(edge_);
  }

  FakeDevice iot_{"iot"}, edge_{"edge", 32768};
};

TEST_F(RolloutTest, EachDeviceIsAssignedWhatItsClassWants) {
  const std::string q4 = PutArtifact("iq4_nl"), f16 = PutArtifact("f16");
  const auto rollout = rollouts_.Create({"", "demo", {}, {}});
  ASSERT_OK(rollout.status());
  EXPECT_EQ(Row(*rollout, iot_.id).artifact(), q4);
  EXPECT_EQ(Row(*rollout, edge_.id).artifact(), f16);
  EXPECT_EQ(Row(*rollout, iot_.id).release(), 1u);
  EXPECT_EQ(Get(*rollout).state(), v1::Rollout::RUNNING);

  const auto assignments = Once(*store_)->assignments().List(iot_.id);
  ASSERT_EQ(assignments->size(), 1u);
  const v1::Signed& statement = assignments->front().statement;
  ASSERT_OK(trust::Verify(statement, trust::kAssignmentType, authority_->trust_root()));
  v1::Assignment assignment;
  ASSERT_TRUE(assignment.ParseFromString(statement.payload()));
  EXPECT_EQ(assignment.device_id(), iot_.id);
  EXPECT_EQ(assignment.release(), 1u);
  EXPECT_EQ("artifacts/" + ToHex(AsBytes(assignment.manifest_digest())), q4);
  EXPECT_EQ(assignment.rollout(), rollout->name());
}

TEST_F(RolloutTest, EndsWhenEveryDeviceIsHealthy) {
  PutArtifact("iq4_nl");
  PutArtifact("f16");
  const auto rollout = rollouts_.Create({"", "demo", {}, {}});
  ASSERT_OK(rollout.status());
  const v1::RolloutDevice iot = Row(*rollout, iot_.id), edge = Row(*rollout, edge_.id);
  ASSERT_OK(Report(iot_.id, {}));
  EXPECT_EQ(Row(Get(*rollout), iot_.id).state(), v1::RolloutDevice::IN_PROGRESS);
  ASSERT_OK(Report(iot_.id, {Status(iot, v1::ModelStatus::HEALTHY)}));
  EXPECT_EQ(Row(Get(*rollout), iot_.id).state(), v1::RolloutDevice::HEALTHY);
  EXPECT_EQ(Get(*rollout).state(), v1::Rollout::RUNNING);
  clock_.Advance(std::chrono::seconds(5));
  ASSERT_OK(Report(edge_.id, {Status(edge, v1::ModelStatus::HEALTHY)}));
  EXPECT_EQ(Get(*rollout).state(), v1::Rollout::COMPLETED);
  EXPECT_EQ(Get(*rollout).finished_ms(), ToUnixMillis(clock_.Now()));
}

TEST_F(RolloutTest, HealthOfAnotherReleaseOrArtifactDoesNotCount) {
  PutArtifact("iq4_nl");
  const auto rollout = rollouts_.Create({"", "demo", {iot_.id}, {}});
  ASSERT_OK(rollout.status());
  v1::ModelStatus status = Status(Row(*rollout, iot_.id), v1::ModelStatus::HEALTHY);
  status.set_release(0);
  ASSERT_OK(Report(iot_.id, {status}));
  EXPECT_EQ(Row(Get(*rollout), iot_.id).state(), v1::RolloutDevice::IN_PROGRESS);
  status.set_release(1);
  status.set_active_manifest(HashText("another").raw());
  ASSERT_OK(Report(iot_.id, {status}));
  EXPECT_EQ(Row(Get(*rollout), iot_.id).state(), v1::RolloutDevice::IN_PROGRESS);
}

TEST_F(RolloutTest, FailureIsKeptWithItsReasonAndFailsTheRollout) {
  PutArtifact("iq4_nl");
  PutArtifact("f16");
  const auto rollout = rollouts_.Create({"", "demo", {}, {}});
  ASSERT_OK(rollout.status());
  v1::ModelStatus failed = Status(Row(*rollout, iot_.id), v1::ModelStatus::FAILED, "disk_full");
  failed.set_detail("3 MiB missing");
  ASSERT_OK(Report(iot_.id, {failed}));
  EXPECT_EQ(Row(Get(*rollout), iot_.id).reason(), "disk_full: 3 MiB missing");
  ASSERT_OK(Report(iot_.id, {Status(Row(*rollout, iot_.id), v1::ModelStatus::DOWNLOADING)}));
  EXPECT_EQ(Row(Get(*rollout), iot_.id).state(), v1::RolloutDevice::FAILED);
  ASSERT_OK(Report(edge_.id, {Status(Row(*rollout, edge_.id), v1::ModelStatus::HEALTHY)}));
  EXPECT_EQ(Get(*rollout).state(), v1::Rollout::FAILED);
}

TEST_F(RolloutTest, RefusedAssignmentFailsButAnOldRefusalDoesNot) {
  PutArtifact("iq4_nl");
  const auto rollout = rollouts_.Create({"", "demo", {iot_.id}, {}});
  ASSERT_OK(rollout.status());
  v1::ModelStatus refused =
      Status(Row(*rollout, iot_.id), v1::ModelStatus::FAILED, "assignment_refused");
  refused.set_release(0);
  ASSERT_OK(Report(iot_.id, {refused}));  // said before this rollout's assignment reached it
  EXPECT_EQ(Row(Get(*rollout), iot_.id).state(), v1::RolloutDevice::IN_PROGRESS);
  ASSERT_OK(Report(iot_.id, {refused}));
  EXPECT_EQ(Get(*rollout).state(), v1::Rollout::FAILED);

  const auto next = rollouts_.Create({"", "demo", {iot_.id}, {}});
  ASSERT_OK(next.status());
  v1::ModelStatus ahead = Status(Row(*next, iot_.id), v1::ModelStatus::FAILED, "rollback_refused");
  ahead.set_release(7);
  ASSERT_OK(Report(iot_.id, {ahead}));
  EXPECT_EQ(Row(Get(*next), iot_.id).reason(), "rollback_refused");
  EXPECT_EQ(Get(*next).state(), v1::Rollout::FAILED);
}

TEST_F(RolloutTest, SkipsWithReasons) {
  FakeDevice tiny("iot", 256), odd("toaster", 64);
  Enrolled(tiny);
  Enrolled(odd);
  PutArtifact("iq4_nl", 300);
  const auto rollout = rollouts_.Create({"", "demo", {}, {}});
  ASSERT_OK(rollout.status());
  EXPECT_EQ(Row(*rollout, iot_.id).state(), v1::RolloutDevice::PENDING);
  EXPECT_EQ(Row(*rollout, edge_.id).code(), v1::RolloutDevice::NO_ARTIFACT);
  EXPECT_THAT(Row(*rollout, edge_.id).reason(), Names("gguf:f16", "edge-fp16"));
  EXPECT_EQ(Row(*rollout, tiny.id).code(), v1::RolloutDevice::TOO_LITTLE_MEMORY);
  EXPECT_THAT(Row(*rollout, tiny.id).reason(), Names("300.0 MiB", "4096", "f32"));
  EXPECT_EQ(Row(*rollout, odd.id).code(), v1::RolloutDevice::NO_CLASS);
  EXPECT_TRUE(Once(*store_)->assignments().List(edge_.id)->empty());
  ASSERT_OK(Report(iot_.id, {Status(Row(*rollout, iot_.id), v1::ModelStatus::HEALTHY)}));
  EXPECT_EQ(Get(*rollout).state(), v1::Rollout::COMPLETED);
}

TEST_F(RolloutTest, NewerRolloutSupersedes) {
  const std::string old_q4 = PutArtifact("iq4_nl");
  const auto first = rollouts_.Create({"", "demo", {iot_.id}, {}});
  ASSERT_OK(first.status());
  const std::string new_q4 = PutArtifact("iq4_nl", 1, "v2");
  const auto second = rollouts_.Create({"", "demo", {iot_.id}, {}});
  ASSERT_OK(second.status());
  EXPECT_EQ(Row(*second, iot_.id).artifact(), new_q4);
  EXPECT_EQ(Row(*second, iot_.id).release(), 2u);
  EXPECT_EQ(Row(Get(*first), iot_.id).state(), v1::RolloutDevice::SKIPPED);
  EXPECT_THAT(Row(Get(*first), iot_.id).reason(), HasSubstr(second->name()));
  EXPECT_EQ(Get(*first).state(), v1::Rollout::COMPLETED);
  // Going back is a new release that names the older artifact.
  const auto back = rollouts_.Create({"", "demo", {iot_.id}, {old_q4}});
  ASSERT_OK(back.status());
  EXPECT_EQ(Row(*back, iot_.id).artifact(), old_q4);
  EXPECT_EQ(Row(*back, iot_.id).release(), 3u);
  EXPECT_EQ(Once(*store_)->assignments().List(iot_.id)->size(), 1u);
}

TEST_F(RolloutTest, TakesTheNewestVersionAndSaysWhich) {
  PutArtifactOf(1, "iq4_nl");
  PutArtifactOf(1, "f16");
  EXPECT_EQ(rollouts_.Create({"", "demo", {}, {}})->version(), 1u);
  PutModel("demo");
  const std::string q4 = PutArtifactOf(2, "iq4_nl"), f16 = PutArtifactOf(2, "f16");
  // Made again: older versions are not what is rolled out, however new their artifacts are.
  const std::string old_q4 = PutArtifactOf(1, "iq4_nl");
  const auto rollout = rollouts_.Create({"", "demo", {}, {}});
  ASSERT_OK(rollout.status());
  EXPECT_EQ(rollout->version(), 2u);
  EXPECT_EQ(Row(*rollout, iot_.id).artifact(), q4);
  EXPECT_EQ(Row(*rollout, edge_.id).artifact(), f16);
  EXPECT_EQ(Get(*rollout).version(), 2u);

  Rollouts::CreateRequest older{"", "demo", {}, {}};
  older.version = 1;
  const auto back = rollouts_.Create(older);
  ASSERT_OK(back.status());
  EXPECT_EQ(back->version(), 1u);
  EXPECT_EQ(Row(*back, iot_.id).artifact(), old_q4);
  older.version = 3;
  EXPECT_ERROR(rollouts_.Create(older), kNotFound, "has no version 3");
}

TEST_F(RolloutTest, AVersionWithoutArtifactsIsNotReplacedByAnOlderOne) {
  PutArtifactOf(1, "iq4_nl");
  PutArtifactOf(1, "f16");
  PutModel("demo");
  EXPECT_ERROR(rollouts_.Create({"", "demo", {}, {}}), kFailedPrecondition,
               "version 2 of model demo", "`quantfleet job submit demo --class CLASS`",
               "--version 1");
}

TEST_F(RolloutTest, AClassWithAnArtifactOfAnotherVersionOnlyIsNotLeftBehindWithoutAWord) {
  PutArtifactOf(1, "iq4_nl");
  PutArtifactOf(1, "f16");
  PutModel("demo");
  const std::string q4 = PutArtifactOf(2, "iq4_nl");
  EXPECT_ERROR(rollouts_.Create({"", "demo", {}, {}}), kFailedPrecondition,
               "class edge-fp16 (1 device)", "version 2 of model demo", "version 1");
  // Those without that class get it.
  EXPECT_OK(rollouts_.Create({"", "demo", {iot_.id}, {}}));
  // Who names artifacts has decided.
  EXPECT_OK(rollouts_.Create({"", "demo", {}, {q4}}));
}

TEST_F(RolloutTest, OneRolloutDoesNotMixVersions) {
  const std::string first = PutArtifactOf(1, "iq4_nl");
  PutModel("demo");
  const std::string second = PutArtifactOf(2, "f16");
  EXPECT_ERROR(rollouts_.Create({"", "demo", {}, {first, second}}), kInvalidArgument,
               "different versions");
  const auto back = rollouts_.Create({"", "demo", {iot_.id}, {first}});
  ASSERT_OK(back.status());
  EXPECT_EQ(back->version(), 1u);
  Rollouts::CreateRequest wrong{"", "demo", {iot_.id}, {first}};
  wrong.version = 2;
  EXPECT_ERROR(rollouts_.Create(wrong), kInvalidArgument, "version 2");
}

TEST_F(RolloutTest, AnArtifactWithoutTokenizerIsRefused) {
  ArtifactRecord record = SomeArtifact("iq4_nl", 1, "", "demo", nullptr);
  record.artifact.set_no_tokenizer(true);
  ASSERT_OK(Once(*store_)->artifacts().Put(record));
  EXPECT_ERROR(rollouts_.Create({"", "demo", {iot_.id}, {}}), kFailedPrecondition,
               "has no tokenizer");
  PutArtifact("f16");
  const auto rollout = rollouts_.Create({"", "demo", {}, {}});
  ASSERT_OK(rollout.status());
  EXPECT_EQ(Row(*rollout, iot_.id).code(), v1::RolloutDevice::NO_TOKENIZER);
}

// An agent that does not know the kind refuses the manifest: it is not sent one.
TEST_F(RolloutTest, AnEmbeddingModelGoesToAgentsThatSayTheyRunThem) {
  ArtifactRecord record = SomeArtifact("iq4_nl", 1, "", "demo", nullptr);
  v1::Manifest manifest;
  ASSERT_TRUE(manifest.ParseFromString(record.manifest));
  manifest.set_kind(v1::Manifest::KIND_EMBEDDING_MODEL);
  record.manifest = manifest.SerializeAsString();
  const Digest digest = HashText(record.manifest);
  record.artifact.set_name("artifacts/" + digest.hex());
  record.artifact.set_manifest_digest(digest.raw());
  ASSERT_OK(Once(*store_)->artifacts().Put(record));
  EXPECT_ERROR(rollouts_.Create({"", "demo", {iot_.id}, {}}), kFailedPrecondition,
               "update the agent");
  FakeDevice knows("iot");
  knows.facts.add_model_kinds(std::string(pipeline::kEmbeddingKind));
  Enrolled(knows);
  const auto rollout = rollouts_.Create({"", "demo", {iot_.id, knows.id}, {}});
  ASSERT_OK(rollout.status());
  EXPECT_EQ(Row(*rollout, iot_.id).code(), v1::RolloutDevice::AGENT_TOO_OLD);
  EXPECT_EQ(Row(*rollout, knows.id).artifact(), record.artifact.name());
}

TEST_F(RolloutTest, SameRequestGivesTheFirstAnswer) {
  PutArtifact("iq4_nl");
  const auto first = rollouts_.Create({"once", "demo", {iot_.id}, {}});
  ASSERT_OK(first.status());
  const auto again = rollouts_.Create({"once", "demo", {iot_.id}, {}});
  ASSERT_OK(again.status());
  EXPECT_EQ(first->name(), again->name());
  EXPECT_EQ(Once(*store_)->assignments().List(iot_.id)->front().release, 1u);
  EXPECT_EQ(Once(*store_)->rollouts().List()->size(), 1u);
}

TEST_F(RolloutTest, RefusedRequestsChangeNothing) {
  EXPECT_ERROR(rollouts_.Create({"", "nope", {}, {}}), kNotFound, "nope");
  EXPECT_ERROR(rollouts_.Create({"", "demo", {}, {}}), kFailedPrecondition, "demo");
  const std::string q4 = PutArtifact("iq4_nl"), other = PutArtifact("iq4_nl", 1, "v2");
  EXPECT_ERROR(rollouts_.Create({"", "demo", {"d-none"}, {}}), kNotFound, "d-none");
  EXPECT_ERROR(rollouts_.Create({"", "demo", {}, {"ffffffffffff"}}), kNotFound, "ffffffffffff");
  EXPECT_ERROR(rollouts_.Create({"", "demo", {}, {q4, other}}), kInvalidArgument, "gguf:iq4_nl");
  for (const bool dry_run : {false, true})
    EXPECT_ERROR(rollouts_.Create({.request_id = "",
                                   .model = "demo",
                                   .device_ids = {edge_.id},
                                   .artifacts = {},
                                   .dry_run = dry_run}),
                 kFailedPrecondition, "edge-fp16");
  ASSERT_OK(Revoke(iot_.id).status());
  EXPECT_ERROR(rollouts_.Create({"", "demo", {iot_.id}, {}}), kFailedPrecondition, "revoked");
  EXPECT_TRUE(Once(*store_)->rollouts().List()->empty());
  EXPECT_TRUE(Once(*store_)->assignments().List(iot_.id)->empty());
}

TEST_F(RolloutTest, RevokedDeviceIsSkippedAndTheRolloutGoesOn) {
  PutArtifact("iq4_nl");
  const auto rollout = rollouts_.Create({"", "demo", {iot_.id}, {}});
  ASSERT_OK(rollout.status());
  ASSERT_OK(Skip(iot_.id, "the device was revoked"));
  EXPECT_EQ(Row(Get(*rollout), iot_.id).state(), v1::RolloutDevice::SKIPPED);
  EXPECT_EQ(Get(*rollout).state(), v1::Rollout::COMPLETED);
}

}  // namespace
}  // namespace quantfleet::daemon
