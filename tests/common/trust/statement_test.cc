#include "common/trust/statement.h"

#include <gtest/gtest.h>

namespace quantfleet::trust {
namespace {

class StatementTest : public ::testing::Test {
 protected:
  void SetUp() override { AddKey(key_, {kAssignmentType}); }

  v1::VerifyKey& AddKey(const SigningKey& key, std::initializer_list<std::string_view> types) {
    v1::VerifyKey& entry = *root_.add_keys();
    entry.set_key_id(key.key_id());
    entry.set_public_key(key.public_key());
    for (std::string_view type : types) entry.add_payload_types(std::string(type));
    return entry;
  }
  absl::StatusCode Check(const v1::Signed& s, std::string_view type = kAssignmentType) {
    return Verify(s, type, root_).code();
  }

  SigningKey key_ = SigningKey::Generate();
  v1::TrustRoot root_;
  v1::Signed statement_ = Sign(key_, kAssignmentType, "payload");
};

TEST_F(StatementTest, AcceptsItsOwn) {
  const auto status = Verify(statement_, kAssignmentType, root_);
  EXPECT_TRUE(status.ok()) << status;
}

TEST_F(StatementTest, RefusesAKeyOutsideTheRoot) {
  EXPECT_EQ(Check(Sign(SigningKey::Generate(), kAssignmentType, "payload")),
            absl::StatusCode::kPermissionDenied);
}

TEST_F(StatementTest, RefusesAnythingTampered) {
  v1::Signed s = statement_;
  s.set_payload("pay1oad");
  EXPECT_EQ(Check(s), absl::StatusCode::kPermissionDenied);
  s = statement_;
  (*s.mutable_signatures(0)->mutable_value())[0] ^= 1;
  EXPECT_EQ(Check(s), absl::StatusCode::kPermissionDenied);
  s = statement_;
  s.clear_signatures();
  EXPECT_EQ(Check(s), absl::StatusCode::kPermissionDenied);
}

TEST_F(StatementTest, RefusesAnotherType) {
  EXPECT_EQ(Check(statement_, kArtifactStatementType), absl::StatusCode::kPermissionDenied);
  // Relabelled: the type is part of what was signed.
  AddKey(key_, {kArtifactStatementType});
  v1::Signed s = statement_;
  s.set_payload_type(std::string(kArtifactStatementType));
  EXPECT_EQ(Check(s, kArtifactStatementType), absl::StatusCode::kPermissionDenied);
}

TEST_F(StatementTest, RefusesAKeyThatMayNotSignThisType) {
  EXPECT_EQ(Check(Sign(key_, kArtifactStatementType, "payload"), kArtifactStatementType),
            absl::StatusCode::kPermissionDenied);
}

TEST_F(StatementTest, ARootEntryCannotBorrowAnotherKeysId) {
  const SigningKey foreign = SigningKey::Generate();
  AddKey(foreign, {kAssignmentType}).set_key_id("00");
  v1::Signed s = Sign(foreign, kAssignmentType, "payload");
  s.mutable_signatures(0)->set_key_id("00");
  EXPECT_EQ(Check(s), absl::StatusCode::kPermissionDenied);
}

TEST_F(StatementTest, OneGoodSignatureAmongForeignOnesIsEnough) {
  v1::Signed s = Sign(SigningKey::Generate(), kAssignmentType, "payload");
  *s.add_signatures() = statement_.signatures(0);
  EXPECT_EQ(Check(s), absl::StatusCode::kOk);
  while (s.signatures_size() < 17) *s.add_signatures() = statement_.signatures(0);
  EXPECT_EQ(Check(s), absl::StatusCode::kPermissionDenied);
}

}  // namespace
}  // namespace quantfleet::trust
