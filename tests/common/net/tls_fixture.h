// A CA, a server chain as the daemon presents it, and identities, for tests of TLS connections.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "common/net/channel.h"
#include "common/trust/certificate.h"

namespace quantfleet::net {

class TlsFixture : public ::testing::Test {
 protected:
  using Kind = trust::Subject::Kind;

  ClientIdentity Identity(const trust::CertificateAuthority& ca, const trust::Subject& subject,
                          Duration lifetime = std::chrono::hours(24)) {
    const trust::KeyPair key = trust::GenerateTlsKey();
    auto pem = ca.Issue(key.public_pem, subject, lifetime, clock_);
    EXPECT_TRUE(pem.ok()) << pem.status();
    return {pem.ok() ? *pem : "", key.private_pem};
  }
  ClientIdentity ServerIdentity(const trust::CertificateAuthority& ca) {
    return Identity(ca, {Kind::kServer, "quantfleetd", "", {"localhost"}, {"127.0.0.1"}});
  }
  ClientIdentity DeviceIdentity(const trust::CertificateAuthority& ca, std::string id,
                                Duration lifetime = std::chrono::hours(24)) {
    return Identity(ca, {Kind::kDevice, std::move(id), "", {}, {}}, lifetime);
  }

  // In the present, since both sides' TLS libraries look at the wall clock themselves.
  ManualClock clock_{RealClock().Now()};
  trust::CertificateAuthority ca_ = trust::CertificateAuthority::Create("test CA", clock_);
  trust::CertificateAuthority foreign_ca_ = trust::CertificateAuthority::Create("test CA", clock_);
};

}  // namespace quantfleet::net
