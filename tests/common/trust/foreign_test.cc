// Certificates of a customer's CA, and signatures by their keys.
#include <gmock/gmock.h>

#include "common/trust/certificate.h"
#include "tests/support/foreign_ca.h"
#include "tests/support/status_matchers.h"

namespace quantfleet::trust {
namespace {

using testing::ForeignCa;
using testing::ForeignIdentity;
using KeyKind = ForeignCa::Kind;

class ForeignTest : public ::testing::Test {
 protected:
  absl::Status Verify(const std::string& chain, const std::string& authorities) {
    return VerifyForeign(chain, authorities, clock_.Now()).status();
  }
  ManualClock clock_;
};

TEST_F(ForeignTest, KeysOfEveryKindProveThemselves) {
  for (const KeyKind kind : {KeyKind::kEc, KeyKind::kRsa, KeyKind::kEd25519}) {
    const ForeignCa ca(clock_, kind);
    const ForeignIdentity device = ca.Issue("board 7", kind);
    const auto verified = VerifyForeign(device.certificate_pem, ca.pem(), clock_.Now());
    ASSERT_OK(verified);
    EXPECT_EQ(verified->subject, "CN=board 7");
    EXPECT_EQ(verified->public_key, *PublicKeyDigest(device.private_pem));
    const auto signature = SignWithAnyKey(device.private_pem, AsBytes("message"));
    ASSERT_OK(signature);
    EXPECT_TRUE(VerifyWithCertificate(device.certificate_pem, AsBytes("message"), *signature));
    EXPECT_FALSE(VerifyWithCertificate(device.certificate_pem, AsBytes("another"), *signature));
    EXPECT_FALSE(VerifyWithCertificate(device.certificate_pem, AsBytes("message"), ""));
    EXPECT_FALSE(VerifyWithCertificate(ca.Issue("other", kind).certificate_pem, AsBytes("message"),
                                       *signature));
  }
}

TEST_F(ForeignTest, ChainLeadsToOneOfTheAuthorities) {
  const ForeignCa root(clock_), other(clock_), between(clock_, KeyKind::kEc, &root);
  const ForeignIdentity device = between.Issue("board");
  EXPECT_OK(Verify(device.certificate_pem + between.pem(), other.pem() + root.pem()));
  EXPECT_OK(Verify(device.certificate_pem, between.pem())) << "what is trusted need not be a root";
  EXPECT_ERROR(Verify(device.certificate_pem, root.pem()), kUnauthenticated, "issued");
  EXPECT_ERROR(Verify(device.certificate_pem + between.pem(), other.pem()), kUnauthenticated,
               "issued");
  EXPECT_ERROR(Verify("rubbish", root.pem()), kInvalidArgument, "certificate");
}

TEST_F(ForeignTest, TimePurposeAndStrengthCount) {
  const ForeignCa ca(clock_);
  EXPECT_OK(Verify(ca.Issue("board", KeyKind::kEc, "clientAuth").certificate_pem, ca.pem()));
  EXPECT_ERROR(Verify(ca.Issue("board", KeyKind::kEc, "serverAuth").certificate_pem, ca.pem()),
               kUnauthenticated, "client");
  EXPECT_ERROR(Verify(ca.Issue("board", KeyKind::kRsa1024).certificate_pem, ca.pem()),
               kUnauthenticated, "");
  const ForeignIdentity device = ca.Issue("board");
  clock_.Advance(std::chrono::hours(2));
  EXPECT_ERROR(Verify(device.certificate_pem, ca.pem()), kUnauthenticated, "expired");
}

TEST_F(ForeignTest, AuthoritiesAreCas) {
  const ForeignCa ca(clock_);
  EXPECT_OK(CheckAuthorities(ca.pem() + ca.pem()));
  EXPECT_ERROR(CheckAuthorities(ca.pem() + ca.Issue("board").certificate_pem), kInvalidArgument,
               "certificate 2", "CN=board");
  EXPECT_ERROR(CheckAuthorities(""), kInvalidArgument, "certificate");
}

// A name is shown to operators: whatever it holds, it is short and plain.
TEST_F(ForeignTest, SubjectIsPlainText) {
  const ForeignCa ca(clock_);
  const auto verified =
      VerifyForeign(ca.Issue("b\xc3\xb6rd\n\x1b[31m").certificate_pem, ca.pem(), clock_.Now());
  ASSERT_OK(verified);
  for (const char c : verified->subject) EXPECT_TRUE(c >= ' ' && c <= '~') << verified->subject;
}

}  // namespace
}  // namespace quantfleet::trust
