#include "common/trust/keys.h"

#include <gtest/gtest.h>

#include "common/trust/certificate.h"

namespace quantfleet::trust {
namespace {

TEST(SigningKey, SurvivesPemAndVerifies) {
  const SigningKey key = SigningKey::Generate();
  const auto again = SigningKey::FromPem(key.ToPem());
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->public_key(), key.public_key());
  EXPECT_EQ(key.key_id().size(), 64u);
  EXPECT_EQ(key.key_id(), KeyIdOf(key.public_key()));

  const std::string signature = again->Sign(AsBytes("message"));
  EXPECT_EQ(signature.size(), 64u);
  EXPECT_TRUE(VerifyEd25519(key.public_key(), AsBytes("message"), signature));
}

// RFC 8032, section 7.1, test 2.
TEST(SigningKey, VerifiesThePublishedVector) {
  const auto key = FromHex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
  const auto signature = FromHex(
      "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
      "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00");
  EXPECT_TRUE(VerifyEd25519(AsText(*key), AsBytes("\x72"), AsText(*signature)));
  EXPECT_FALSE(VerifyEd25519(AsText(*key), AsBytes("\x73"), AsText(*signature)));
}

TEST(SigningKey, RefusesWhatIsNotItsSignature) {
  const SigningKey key = SigningKey::Generate(), other = SigningKey::Generate();
  std::string signature = key.Sign(AsBytes("message"));
  EXPECT_FALSE(VerifyEd25519(other.public_key(), AsBytes("message"), signature));
  EXPECT_FALSE(VerifyEd25519(key.public_key(), AsBytes("massage"), signature));
  EXPECT_FALSE(VerifyEd25519(key.public_key(), AsBytes("message"), signature.substr(1)));
  EXPECT_FALSE(VerifyEd25519("short", AsBytes("message"), signature));
  signature[10] ^= 1;
  EXPECT_FALSE(VerifyEd25519(key.public_key(), AsBytes("message"), signature));
}

TEST(SigningKey, TakesOnlyEd25519) {
  EXPECT_EQ(SigningKey::FromPem(GenerateTlsKey().private_pem).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(SigningKey::FromPem("nonsense").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(SigningKey::FromPem("").status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace quantfleet::trust
