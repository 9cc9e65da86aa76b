#include "common/trust/trust_root.h"

#include <gtest/gtest.h>

#include "common/trust/certificate.h"
#include "common/trust/statement.h"

namespace quantfleet::trust {
namespace {

class TrustRootTest : public ::testing::Test {
 protected:
  v1::TrustRoot Root(uint32_t version, const std::vector<const SigningKey*>& keys,
                     std::string_view type = kTrustRootType) {
    v1::TrustRoot root;
    root.set_version(version);
    root.set_ca_pem(ca_);
    for (const SigningKey* key : keys) {
      v1::VerifyKey& entry = *root.add_keys();
      entry.set_key_id(key->key_id());
      entry.set_public_key(key->public_key());
      entry.add_payload_types(std::string(type));
    }
    return root;
  }
  static v1::Signed By(const SigningKey& key, const v1::TrustRoot& root) {
    return Sign(key, kTrustRootType, root.SerializeAsString());
  }

  ManualClock clock_;
  const std::string ca_ = CertificateAuthority::Create("test", clock_).certificate_pem();
  const SigningKey one_ = SigningKey::Generate(), two_ = SigningKey::Generate(),
                   three_ = SigningKey::Generate();
};

TEST_F(TrustRootTest, EachRootIsBelievedByAKeyOfTheOneBefore) {
  v1::TrustRoot held = Root(1, {&one_});
  google::protobuf::RepeatedPtrField<v1::Signed> chain;
  *chain.Add() = By(one_, Root(2, {&one_, &two_}));
  *chain.Add() = By(two_, Root(3, {&two_}));
  *chain.Add() = By(two_, Root(4, {&two_, &three_}));
  *chain.Add() = By(three_, Root(5, {&three_}));
  v1::TrustRoot jumping = held;
  EXPECT_FALSE(Succeed(jumping, chain[3])) << "it knows no key of the last";
  EXPECT_TRUE(Succeed(held, chain));
  EXPECT_EQ(held.SerializeAsString(), Root(5, {&three_}).SerializeAsString());
  EXPECT_FALSE(Succeed(held, chain)) << "again changes nothing";
}

TEST_F(TrustRootTest, WhatIsNoSuccessorChangesNothing) {
  const v1::TrustRoot held = Root(2, {&one_});
  v1::TrustRoot no_ca = Root(3, {&two_}), no_keys = Root(3, {});
  no_ca.set_ca_pem("nonsense");
  v1::Signed unsigned_root = By(one_, Root(3, {&two_})), of_another_type = unsigned_root,
             garbled = unsigned_root;
  unsigned_root.clear_signatures();
  of_another_type.set_payload_type(std::string(kAssignmentType));
  garbled.mutable_payload()->back() ^= 1;
  for (const v1::Signed& bad : {By(two_, Root(3, {&two_})), By(one_, Root(2, {&two_})),
                                By(one_, Root(1, {&two_})), By(one_, no_ca), By(one_, no_keys),
                                unsigned_root, of_another_type, garbled, v1::Signed()}) {
    v1::TrustRoot root = held;
    EXPECT_FALSE(Succeed(root, bad));
    EXPECT_EQ(root.SerializeAsString(), held.SerializeAsString());
  }
  // A key that may sign assignments may not for that reason name other keys.
  v1::TrustRoot assignments = Root(2, {&one_}, kAssignmentType);
  EXPECT_FALSE(Succeed(assignments, By(one_, Root(3, {&two_}))));
}

TEST_F(TrustRootTest, AnAnswerIsReadSoFar) {
  v1::TrustRoot held = Root(1, {&one_});
  google::protobuf::RepeatedPtrField<v1::Signed> chain;
  for (uint32_t version = 2; version < 2 + 3 * kMaxTrustRoots; ++version)
    *chain.Add() = By(one_, Root(version, {&one_}));
  EXPECT_TRUE(Succeed(held, chain));
  EXPECT_EQ(held.version(), 1u + kMaxTrustRoots);
}

}  // namespace
}  // namespace quantfleet::trust
