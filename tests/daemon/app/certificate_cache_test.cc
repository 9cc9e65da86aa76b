#include "daemon/app/certificate_cache.h"

#include <gtest/gtest.h>

#include "common/base/clock.h"

namespace quantfleet::daemon::app {
namespace {

class CertificateCacheTest : public ::testing::Test {
 protected:
  std::string IssueTo(const std::string& device) {
    const trust::Subject subject{trust::Subject::Kind::kDevice, device, {}, {}, {}};
    return ca_.Issue(trust::GenerateTlsKey().public_pem, subject, std::chrono::hours(1), clock_)
        .value();
  }

  const ManualClock clock_;
  const trust::CertificateAuthority ca_ = trust::CertificateAuthority::Create("test", clock_);
};

TEST_F(CertificateCacheTest, ACertificateIsReadOnce) {
  CertificateCache cache;
  const std::string a = IssueTo("a"), b = IssueTo("b");
  const CertificateCache::Info first = cache.Read(a).value();
  EXPECT_EQ(first->subject.id, "a");
  EXPECT_EQ(first->public_key, trust::PublicKeyDigest(a).value());
  EXPECT_EQ(cache.Read(b).value()->subject.id, "b");
  EXPECT_EQ(cache.Read(a).value(), first);
}

TEST_F(CertificateCacheTest, TheLastOnesAreKeptAndOthersAreReadAgain) {
  CertificateCache cache(2);
  const std::string a = IssueTo("a"), b = IssueTo("b"), c = IssueTo("c");
  const CertificateCache::Info first_a = cache.Read(a).value(), first_b = cache.Read(b).value();
  EXPECT_EQ(cache.Read(c).value()->subject.id, "c");  // a and b are the old ones now
  EXPECT_EQ(cache.Read(b).value(), first_b);
  EXPECT_EQ(cache.Read(IssueTo("d")).value()->subject.id,
            "d");  // turns again: a is forgotten, b is not
  EXPECT_EQ(cache.Read(b).value(), first_b);
  const CertificateCache::Info second_a = cache.Read(a).value();
  EXPECT_NE(second_a, first_a);
  EXPECT_EQ(second_a->subject.id, "a");
}

TEST_F(CertificateCacheTest, WhatIsNoCertificateIsRefusedEachTime) {
  CertificateCache cache;
  EXPECT_FALSE(cache.Read("no certificate").ok());
  EXPECT_FALSE(cache.Read("no certificate").ok());
}

}  // namespace
}  // namespace quantfleet::daemon::app
