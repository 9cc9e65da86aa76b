// Operators: logging in, rotating, revoking, and those of before.
#include "daemon/operators/operators.h"

#include <gmock/gmock.h>
#include <soci/soci.h>
#include <soci/sqlite3/soci-sqlite3.h>

#include "common/trust/token.h"
#include "common/trust/validity.h"
#include "tests/daemon/app/app_fixture.h"

namespace quantfleet::daemon::app {
namespace {

class OperatorsTest : public AppFixture {
 protected:
  OperatorsTest() { jobs_.Stop(); }
  absl::Status May(const std::string& certificate, Role role = Role::kViewer) {
    return Callers(fleet_, operators_).Operator({certificate}, role).status();
  }
};

TEST_F(OperatorsTest, ACodeIsForOneKeyAndOneUse) {
  const auto made = operators_.Create({{}, "alice", "publisher"});
  ASSERT_OK(made.status());
  EXPECT_TRUE(made->code.starts_with("qfl1.")) << made->code;
  const auto in = LogIn(made->code);
  ASSERT_OK(in.status());
  EXPECT_OK(May(in->certificate_pem, Role::kPublisher));
  EXPECT_EQ(May(in->certificate_pem, Role::kAdmin).code(), absl::StatusCode::kPermissionDenied);
  const std::string id = trust::ClaimToken::Parse(made->code, trust::ClaimToken::For::kLogin)->id;
  EXPECT_ERROR(LogIn(made->code), kUnauthenticated, id);
}

TEST_F(OperatorsTest, ACodeExpires) {
  const auto made = operators_.Create({.name = "alice", .role = "viewer", .code_ttl_seconds = 60});
  ASSERT_OK(made.status());
  clock_.Advance(std::chrono::seconds(61));
  EXPECT_ERROR(LogIn(made->code), kUnauthenticated, "quantfleet operator rotate alice");
}

TEST_F(OperatorsTest, AGuessedCodeOrAnotherKindOfSecretIsRefused) {
  const auto made = operators_.Create({{}, "alice", "viewer"});
  auto guessed = *trust::ClaimToken::Parse(made->code, trust::ClaimToken::For::kLogin);
  guessed.secret[0] ^= 1;
  EXPECT_ERROR(LogIn(guessed.ToString()), kUnauthenticated, guessed.id);
  EXPECT_ERROR(LogIn(Token()), kInvalidArgument, "quantfleet operator create");
  EXPECT_OK(LogIn(made->code).status());
}

// A certificate that is about to end, or has ended, is renewed by whoever holds the key.
TEST_F(OperatorsTest, TheKeyGetsTheNextCertificate) {
  const trust::KeyPair key = trust::GenerateTlsKey();
  const auto first = LogIn(operators_.Create({{}, "alice", "viewer"})->code, key);
  ASSERT_OK(first.status());
  clock_.Advance(std::chrono::hours(25));
  EXPECT_EQ(May(first->certificate_pem).code(), absl::StatusCode::kUnauthenticated);
  const auto second = LogIn("", key);
  ASSERT_OK(second.status());
  EXPECT_OK(May(second->certificate_pem));
  EXPECT_ERROR(LogIn(""), kUnauthenticated, "login code");
  ASSERT_OK(operators_.Revoke("alice", "admin").status());
  EXPECT_ERROR(LogIn("", key), kPermissionDenied, "alice");
}

TEST_F(OperatorsTest, AChallengeIsUsedOnceAndForItsKey) {
  const trust::KeyPair key = trust::GenerateTlsKey();
  const std::string csr = trust::MakeCsr(key.private_pem, "operator").value();
  const std::string nonce =
      fleet_.MakeChallenge(trust::DeviceIdOf(trust::PublicKeyDigest(key.public_pem).value()));
  const auto made = operators_.Create({{}, "alice", "viewer"});
  const std::string proof =
      trust::SignWithTlsKey(key.private_pem, AsBytes(Operators::LoginMessage(nonce, csr))).value();
  const trust::KeyPair other = trust::GenerateTlsKey();
  EXPECT_ERROR(
      operators_.Login({made->code, trust::MakeCsr(other.private_pem, "x").value(), nonce, proof}),
      kUnauthenticated, "challenge");
  EXPECT_ERROR(operators_.Login({made->code, csr, nonce, "proof"}), kUnauthenticated, "proof");
  ASSERT_OK(operators_.Login({made->code, csr, nonce, proof}).status());
  EXPECT_ERROR(operators_.Login({"", csr, nonce, proof}), kUnauthenticated, "challenge");
}

TEST_F(OperatorsTest, ARequestMadeWhereTheOperatorWorksNeedsNoCode) {
  const trust::KeyPair key = trust::GenerateTlsKey();
  const std::string csr = trust::MakeCsr(key.private_pem, "operator").value();
  const auto made = operators_.Create({.name = "alice", .role = "viewer", .csr_pem = csr});
  ASSERT_OK(made.status());
  EXPECT_EQ(made->code, "");
  EXPECT_ERROR(operators_.Create({.name = "bob", .role = "admin", .csr_pem = csr}), kAlreadyExists,
               "alice");
  const auto in = LogIn("", key);
  ASSERT_OK(in.status());
  EXPECT_OK(May(in->certificate_pem));
}

TEST_F(OperatorsTest, RotatingEndsTheKeyAtOnce) {
  const auto before = LogIn(operators_.Create({{}, "alice", "viewer"})->code);
  const auto made = operators_.Rotate({"alice"});
  ASSERT_OK(made.status());
  EXPECT_EQ(May(before->certificate_pem).code(), absl::StatusCode::kPermissionDenied);
  const auto after = LogIn(made->code);
  ASSERT_OK(after.status());
  EXPECT_OK(May(after->certificate_pem));
  EXPECT_EQ(May(before->certificate_pem).code(), absl::StatusCode::kPermissionDenied);
}

TEST_F(OperatorsTest, AccessEndsWithItsTime) {
  const trust::KeyPair key = trust::GenerateTlsKey();
  const auto made = operators_.Create({.name = "alice", .role = "viewer", .ttl_seconds = 2 * 3600});
  const auto in = LogIn(made->code, key);
  ASSERT_OK(in.status());
  EXPECT_LE(trust::ReadCertificate(in->certificate_pem)->not_after,
            clock_.Now() + std::chrono::hours(2));
  clock_.Advance(std::chrono::hours(2));
  EXPECT_FALSE(May(in->certificate_pem).ok());
  EXPECT_ERROR(LogIn("", key), kPermissionDenied, "alice");
}

TEST_F(OperatorsTest, TheLastAdminStays) {
  ASSERT_OK(LogIn(operators_.Create({{}, "first", "admin"})->code).status());
  EXPECT_ERROR(operators_.Revoke("first", "first"), kFailedPrecondition, "first");
  // One that has not logged in is none yet.
  const auto second = operators_.Create({{}, "second", "admin"});
  EXPECT_ERROR(operators_.Revoke("first", "first"), kFailedPrecondition, "first");
  ASSERT_OK(LogIn(second->code).status());
  EXPECT_OK(operators_.Revoke("first", "second").status());
  EXPECT_ERROR(operators_.Create({{}, "second", "viewer"}), kAlreadyExists, "second");
  EXPECT_OK(operators_.Create({{}, "first", "viewer"}).status());
}

TEST_F(OperatorsTest, NamesAndRolesAreChecked) {
  for (const char* name : {"", "a b", "../x", ".x"})
    EXPECT_ERROR(operators_.Create({{}, name, "viewer"}), kInvalidArgument, name);
  EXPECT_ERROR(operators_.Create({{}, "alice", "root"}), kInvalidArgument, "root");
  EXPECT_ERROR(operators_.Create({.name = "alice", .role = "viewer", .ttl_seconds = -1}),
               kInvalidArgument, "ttl_seconds");
  EXPECT_ERROR(operators_.Revoke("nobody", "admin"), kNotFound, "nobody");
}

// Certificates of a daemon that had no records yet.
TEST_F(OperatorsTest, WhoWasThereBeforeGetsARecordWithItsFirstCall) {
  const trust::KeyPair key = trust::GenerateTlsKey();
  const std::string before =
      authority_->IssueOperator(key.public_pem, "old-hand", "publisher", std::chrono::hours(99))
          .value();
  EXPECT_EQ(May(before).code(), absl::StatusCode::kPermissionDenied);  // not made before
  // As if the records had begun later.
  clock_.Advance(std::chrono::minutes(1));
  ASSERT_OK(
      store_->Write([](Transaction& tx) { return tx.operators().RecordedSince(0).status(); }));
  soci::session sql(soci::sqlite3, "db=\"" + (dir_ / "state.db").string() + "\"");
  sql << "UPDATE counters SET value = value + 60000 WHERE name = 'operators_since'";
  ASSERT_OK(operators_.Open());
  EXPECT_OK(May(before, Role::kPublisher));
  ASSERT_OK(operators_.Revoke("old-hand", "admin").status());
  EXPECT_EQ(May(before).code(), absl::StatusCode::kPermissionDenied);
}

TEST_F(OperatorsTest, TheDaemonsOwnCredentialIsAnOperators) {
  const auto own = authority_->AdminIdentity();
  ASSERT_OK(own.status());
  EXPECT_EQ(operators_.KeepOwn(own->certificate_pem).value(), true);
  EXPECT_OK(May(own->certificate_pem, Role::kAdmin));
  EXPECT_ERROR(operators_.Rotate({"admin"}), kFailedPrecondition, "admin.json");
  ASSERT_OK(LogIn(operators_.Create({{}, "alice", "admin"})->code).status());
  ASSERT_OK(operators_.Revoke("admin", "alice").status());
  EXPECT_EQ(operators_.KeepOwn(own->certificate_pem).value(), false);
  EXPECT_EQ(May(own->certificate_pem).code(), absl::StatusCode::kPermissionDenied);
  ASSERT_OK(Operators::Restore(*store_, clock_));
  EXPECT_EQ(operators_.KeepOwn(own->certificate_pem).value(), true);
  EXPECT_OK(May(own->certificate_pem, Role::kAdmin));
  EXPECT_EQ(Audit().back().decoded().method(), "RestoreAdmin");
}

}  // namespace
}  // namespace quantfleet::daemon::app
