#include "agent/update/assignment.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "tests/agent/update/fleet_fixture.h"

namespace quantfleet::agent {
namespace {

using ::testing::HasSubstr;

class AssignmentTest : public FleetFixture {};

TEST_F(AssignmentTest, SignedForThisDeviceIsBelieved) {
  const auto read = ReadAssignment(Sign(Assign(7, HashText("m"))), TrustRoot(), kDevice);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->model, kModel);
  EXPECT_EQ(read->release, 7u);
  EXPECT_EQ(read->manifest, HashText("m"));
}

TEST_F(AssignmentTest, EmptyDigestMeansRemoval) {
  v1::Assignment assignment = Assign(8, HashText("m"));
  assignment.clear_manifest_digest();
  const auto read = ReadAssignment(Sign(assignment), TrustRoot(), kDevice);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_FALSE(read->manifest);
}

TEST_F(AssignmentTest, HealthLimitsComeWithIt) {
  v1::Assignment assignment = Assign(7, HashText("m"));
  assignment.mutable_health()->set_min_tokens_per_second(3);
  const auto read = ReadAssignment(Sign(assignment), TrustRoot(), kDevice);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->health.min_tokens_per_second(), 3);
  for (const double limit : {-1.0, std::numeric_limits<double>::quiet_NaN(), HUGE_VAL}) {
    assignment.mutable_health()->set_min_tokens_per_second(limit);
    EXPECT_EQ(ReadAssignment(Sign(assignment), TrustRoot(), kDevice).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
}

TEST_F(AssignmentTest, ARuntimeThatIsNoNameIsRefusedThoughItIsSigned) {
  v1::Assignment assignment = Assign(7, HashText("m"));
  v1::Runtime& runtime = *assignment.mutable_runtime();
  runtime.set_command("server");
  runtime.add_args("{port}");
  runtime.set_health_path("/health");
  runtime.set_start_timeout_seconds(5);
  runtime.set_stop_timeout_seconds(5);
  runtime.set_restart_ms(100);
  const auto read = ReadAssignment(Sign(assignment), TrustRoot(), kDevice);
  ASSERT_TRUE(read.ok()) << read.status();
  ASSERT_TRUE(read->runtime);
  EXPECT_EQ(read->runtime->command(), "server");
  runtime.set_command("/bin/sh");
  EXPECT_EQ(ReadAssignment(Sign(assignment), TrustRoot(), kDevice).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(AssignmentTest, EvaluationsOfTheArtifactThatTrustedKeysSignedCount) {
  const auto evaluate = [&](std::string_view of, int64_t at, const trust::SigningKey& key) {
    v1::EvaluationStatement evaluation;
    evaluation.set_manifest_digest(HashText(of).raw());
    evaluation.set_evaluated_ms(at);
    return trust::Sign(key, trust::kEvaluationStatementType, evaluation.SerializeAsString());
  };
  v1::DeviceArtifact artifact;
  *artifact.add_statements() = Vouch(HashText("m"), key_);
  *artifact.add_statements() = evaluate("m", 3, trust::SigningKey::Generate());
  *artifact.add_statements() = evaluate("another", 4, key_);
  EXPECT_EQ(ReadEvaluations(artifact, HashText("m"), TrustRoot()).evaluations_size(), 0);
  *artifact.add_statements() = evaluate("m", 2, key_);
  *artifact.add_statements() = evaluate("m", 1, key_);
  const v1::Evaluations read = ReadEvaluations(artifact, HashText("m"), TrustRoot());
  ASSERT_EQ(read.evaluations_size(), 1) << "the newest of one kind";
  EXPECT_EQ(read.evaluations(0).evaluated_ms(), 2);
}

TEST_F(AssignmentTest, AContextThatContradictsItselfIsRefused) {
  v1::Assignment assignment = Assign(7, HashText("m"));
  assignment.mutable_context()->set_tokens(8192);
  assignment.mutable_context()->set_min_tokens(2048);
  const auto read = ReadAssignment(Sign(assignment), TrustRoot(), kDevice);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->context.tokens(), 8192u);
  for (const auto& [tokens, least] :
       {std::pair<uint64_t, uint64_t>(2048, 4096), {0, 1}, {uint64_t{1} << 40, 0}}) {
    assignment.mutable_context()->set_tokens(tokens);
    assignment.mutable_context()->set_min_tokens(least);
    EXPECT_EQ(ReadAssignment(Sign(assignment), TrustRoot(), kDevice).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
}

TEST_F(AssignmentTest, ForeignKeyIsRefused) {
  const auto foreign = trust::SigningKey::Generate();
  const auto statement =
      trust::Sign(foreign, trust::kAssignmentType, Assign(7, HashText("m")).SerializeAsString());
  EXPECT_EQ(ReadAssignment(statement, TrustRoot(), kDevice).status().code(),
            absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(ClaimedModel(statement), kModel);
}

TEST_F(AssignmentTest, ChangedPayloadIsRefused) {
  v1::Signed statement = Sign(Assign(7, HashText("m")));
  statement.set_payload(Assign(8, HashText("m")).SerializeAsString());
  EXPECT_EQ(ReadAssignment(statement, TrustRoot(), kDevice).status().code(),
            absl::StatusCode::kPermissionDenied);
}

TEST_F(AssignmentTest, StatementOfAnotherTypeIsRefused) {
  const auto statement = trust::Sign(key_, trust::kArtifactStatementType,
                                     Assign(7, HashText("m")).SerializeAsString());
  EXPECT_EQ(ReadAssignment(statement, TrustRoot(), kDevice).status().code(),
            absl::StatusCode::kPermissionDenied);
}

TEST_F(AssignmentTest, AnotherDevicesIsRefused) {
  const auto read = ReadAssignment(Sign(Assign(7, HashText("m"))), TrustRoot(), "dev-2");
  EXPECT_EQ(read.status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(Message(read.status()), HasSubstr(kDevice));
}

TEST_F(AssignmentTest, ModelNameThatLeavesItsFolderIsRefused) {
  for (const char* name : {"../other", "a/b", "", ".hidden"}) {
    v1::Assignment assignment = Assign(7, HashText("m"));
    assignment.set_model(name);
    EXPECT_FALSE(ReadAssignment(Sign(assignment), TrustRoot(), kDevice).ok()) << name;
    EXPECT_EQ(ClaimedModel(Sign(assignment)), "") << name;
  }
}

TEST_F(AssignmentTest, ArtifactNeedsItsDigestAndAVoucher) {
  const FakeArtifact artifact = MakeArtifact({1, 2});
  v1::GetDeviceArtifactRequest request;
  request.set_manifest_digest(artifact.digest.raw());
  auto answer = GetArtifact(request);
  ASSERT_TRUE(answer.ok());
  EXPECT_TRUE(ReadArtifact(*answer, artifact.digest, TrustRoot()).ok());
  EXPECT_EQ(ReadArtifact(*answer, HashText("another"), TrustRoot()).status().code(),
            absl::StatusCode::kDataLoss);

  v1::DeviceArtifact unvouched = *answer;
  unvouched.clear_statements();
  EXPECT_EQ(ReadArtifact(unvouched, artifact.digest, TrustRoot()).status().code(),
            absl::StatusCode::kPermissionDenied);
  *unvouched.add_statements() = Vouch(artifact.digest, trust::SigningKey::Generate());
  EXPECT_FALSE(ReadArtifact(unvouched, artifact.digest, TrustRoot()).ok())
      << "vouched by a stranger";
  *unvouched.add_statements() = Vouch(HashText("another"), key_);
  EXPECT_FALSE(ReadArtifact(unvouched, artifact.digest, TrustRoot()).ok())
      << "vouched for another artifact";
}

}  // namespace
}  // namespace quantfleet::agent
