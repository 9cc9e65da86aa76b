#include "common/trust/token.h"

#include <gtest/gtest.h>

namespace quantfleet::trust {
namespace {

class TokenTest : public ::testing::Test {
 protected:
  SeededRandom random_{7};
  ClaimToken token_ = ClaimToken::Make(random_, HashText("ca"));
};

TEST_F(TokenTest, SurvivesItsText) {
  const auto again = ClaimToken::Parse("  " + token_.ToString() + "\n");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->id, token_.id);
  EXPECT_EQ(again->secret, token_.secret);
  EXPECT_EQ(again->ca_fingerprint, HashText("ca"));
  EXPECT_EQ(again->SecretHash(), token_.SecretHash());
  EXPECT_EQ(again->ToString(), token_.ToString());
}

TEST_F(TokenTest, TwoTokensDiffer) {
  const ClaimToken other = ClaimToken::Make(random_, HashText("ca"));
  EXPECT_NE(other.id, token_.id);
  EXPECT_NE(other.SecretHash(), token_.SecretHash());
}

TEST_F(TokenTest, RefusesDamageAndNeverRepeatsTheSecret) {
  const std::string text = token_.ToString(), secret = ToBase64Url(AsBytes(token_.secret));
  const size_t at = text.find(secret);
  std::vector<std::string> damaged = {
      "",
      "qf1",
      secret,
      text.substr(4),
      "qf2" + text.substr(3),
      text + ".x",
      text.substr(0, text.size() - 1),
      text.substr(0, at) + secret + ".",
      text.substr(0, at + secret.size()),
      "qf1.." + text.substr(at),
      "qf1.a b." + text.substr(at),
      text.substr(0, at) + "!" + text.substr(at),
      text.substr(0, at) + text.substr(at + 8),
      text.substr(0, at) + std::string(2000, 'A') + text.substr(at),
  };
  for (const std::string& bad : damaged) {
    const auto status = ClaimToken::Parse(bad).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << bad;
    EXPECT_EQ(Message(status).find(secret), std::string::npos) << Message(status);
    EXPECT_EQ(Message(status).find(secret.substr(8)), std::string::npos) << Message(status);
  }
}

}  // namespace
}  // namespace quantfleet::trust
