#include "common/trust/certificate.h"

#include <gtest/gtest.h>

#include "common/trust/subject_uri.h"

namespace quantfleet::trust {
namespace {

using Code = absl::StatusCode;
using std::chrono::hours;
using Kind = Subject::Kind;

Subject Device(std::string id) { return {Kind::kDevice, std::move(id), "", {}, {}}; }
Subject Server() {
  return {Kind::kServer, "quantfleetd", "", {"localhost", "fleet.example"}, {"127.0.0.1", "::1"}};
}

class CertificateTest : public ::testing::Test {
 protected:
  std::string Issue(const Subject& subject, Duration lifetime = hours(24)) {
    auto pem = ca_.Issue(key_.public_pem, subject, lifetime, clock_);
    EXPECT_TRUE(pem.ok()) << pem.status();
    return pem.ok() ? *pem : "";
  }

  ManualClock clock_;
  CertificateAuthority ca_ = CertificateAuthority::Create("test CA", clock_);
  KeyPair key_ = GenerateTlsKey();
};

TEST_F(CertificateTest, SaysWhoseItIs) {
  const std::string pem = Issue({Kind::kOperator, "ada", "publisher", {}, {}}, hours(48));
  const auto info = ReadCertificate(pem);
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->subject.kind, Kind::kOperator);
  EXPECT_EQ(info->subject.id, "ada");
  EXPECT_EQ(info->subject.role, "publisher");
  EXPECT_EQ(info->not_before, clock_.Now() - hours(1));
  EXPECT_EQ(info->not_after, clock_.Now() + hours(48));
  EXPECT_EQ(info->public_key, *PublicKeyDigest(key_.private_pem));
  EXPECT_EQ(info->public_key, *PublicKeyDigest(key_.public_pem));
  EXPECT_EQ(info->public_key, *PublicKeyDigest(pem));
  EXPECT_EQ(info->serial.size(), 32u);
  EXPECT_NE(info->serial, ReadCertificate(Issue(Device("d1")))->serial);
}

TEST_F(CertificateTest, ServerNamesItsHosts) {
  const auto info = ReadCertificate(Issue(Server()));
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->subject.kind, Kind::kServer);
  EXPECT_EQ(info->subject.dns_names, (std::vector<std::string>{"localhost", "fleet.example"}));
  EXPECT_EQ(info->subject.ip_addresses, (std::vector<std::string>{"127.0.0.1", "0:0:0:0:0:0:0:1"}));
}

TEST_F(CertificateTest, IssuesNothingForNamesThatNeedEscaping) {
  const std::vector<Subject> refused = {
      Device(""),
      Device("a/b"),
      Device("a?role=admin"),
      Device("a b"),
      Device(std::string(65, 'a')),
      {Kind::kOperator, "ada", "root", {}, {}},
      {Kind::kOperator, "ada", "", {}, {}},
      {Kind::kDevice, "d1", "admin", {}, {}},
      {Kind::kDevice, "d1", "", {"localhost"}, {}},
      {Kind::kServer, "s", "", {"a,URI:quantfleet://operator/x?role=admin"}, {}},
      {Kind::kServer, "s", "", {}, {"1.2.3"}},
  };
  for (const Subject& subject : refused)
    EXPECT_EQ(ca_.Issue(key_.public_pem, subject, hours(1), clock_).status().code(),
              Code::kInvalidArgument)
        << subject.id << " " << subject.role;
}

TEST(SubjectUri, IsReadStrictly) {
  for (const char* good : {"quantfleet://device/d-1", "quantfleet://server/x",
                           "quantfleet://operator/ada?role=viewer"}) {
    const auto subject = ParseSubjectUri(good);
    ASSERT_TRUE(subject.ok()) << subject.status();
    EXPECT_EQ(*SubjectUri(*subject), good);
  }
  for (const char* bad :
       {"", "quantfleet://", "quantfleet://device", "quantfleet://device/",
        "quantfleet://device/a/b", "quantfleet://device/a?role=admin", "QUANTFLEET://device/a",
        "quantfleet://daemon/a", "spiffe://device/a", "quantfleet://operator/ada",
        "quantfleet://operator/ada?role=", "quantfleet://operator/ada?role=root",
        "quantfleet://operator/ada?role=admin&role=viewer", "quantfleet://operator/ada?role=admin ",
        "quantfleet://operator/?role=admin", "quantfleet://device/%61"})
    EXPECT_EQ(ParseSubjectUri(bad).status().code(), Code::kInvalidArgument) << bad;
}

TEST_F(CertificateTest, ChainLeadsToItsOwnCaOnly) {
  const std::string pem = Issue(Server());
  const auto status = VerifyChain(pem, ca_.certificate_pem(), true, clock_.Now());
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_TRUE(
      VerifyChain(pem + ca_.certificate_pem(), ca_.certificate_pem(), true, clock_.Now()).ok());

  // The same name, another key; and its CA in the chain does not help.
  const auto foreign = CertificateAuthority::Create("test CA", clock_);
  EXPECT_EQ(VerifyChain(pem, foreign.certificate_pem(), true, clock_.Now()).code(),
            Code::kUnauthenticated);
  EXPECT_EQ(VerifyChain(pem + ca_.certificate_pem(), foreign.certificate_pem(), true, clock_.Now())
                .code(),
            Code::kUnauthenticated);
  EXPECT_EQ(VerifyChain(pem, foreign.certificate_pem(), true, std::nullopt).code(),
            Code::kUnauthenticated);
}

TEST_F(CertificateTest, ALeafIsNotACa) {
  const std::string leaf = Issue(Server());
  EXPECT_FALSE(CertificateAuthority::Load(leaf, key_.private_pem).ok());
  // A certificate that is itself pinned as the CA vouches for nothing, itself included.
  EXPECT_FALSE(VerifyChain(leaf, leaf, true, clock_.Now()).ok());
}

TEST_F(CertificateTest, ValidityIsCheckedAtTheGivenTime) {
  const std::string pem = Issue(Server(), hours(24));
  const auto at = [&](std::optional<Time> time) {
    return VerifyChain(pem, ca_.certificate_pem(), true, time);
  };
  EXPECT_TRUE(at(clock_.Now() + hours(23)).ok());
  const auto expired = at(clock_.Now() + hours(25));
  EXPECT_EQ(expired.code(), Code::kUnauthenticated);
  EXPECT_NE(Message(expired).find("expired"), std::string::npos) << expired;
  const auto early = at(FromUnixMillis(0));
  EXPECT_EQ(early.code(), Code::kUnauthenticated);
  EXPECT_NE(Message(early).find("clock"), std::string::npos) << early;
  EXPECT_TRUE(at(std::nullopt).ok());
}

TEST_F(CertificateTest, ADeviceIsNotAServerNorTheOtherWayRound) {
  const std::string device = Issue(Device("d1")), server = Issue(Server());
  EXPECT_TRUE(VerifyChain(device, ca_.certificate_pem(), false, clock_.Now()).ok());
  EXPECT_EQ(VerifyChain(device, ca_.certificate_pem(), true, clock_.Now()).code(),
            Code::kUnauthenticated);
  EXPECT_EQ(VerifyChain(device, ca_.certificate_pem(), true, std::nullopt).code(),
            Code::kUnauthenticated);
  EXPECT_EQ(VerifyChain(server, ca_.certificate_pem(), false, clock_.Now()).code(),
            Code::kUnauthenticated);
}

TEST_F(CertificateTest, FirstContactFindsTheCaByItsFingerprint) {
  const std::string chain = Issue(Server()) + ca_.certificate_pem();
  const auto found = FindCertificate(chain, ca_.fingerprint());
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(*found, ca_.certificate_pem());
  EXPECT_EQ(FindCertificate(chain, HashText("other")).status().code(), Code::kUnauthenticated);
  EXPECT_EQ(FindCertificate(Issue(Server()), ca_.fingerprint()).status().code(),
            Code::kUnauthenticated);

  // A foreign leaf with the true CA beside it: found, and refused by VerifyChain.
  const auto foreign = CertificateAuthority::Create("test CA", clock_);
  const auto leaf = foreign.Issue(key_.public_pem, Server(), hours(1), clock_);
  ASSERT_TRUE(leaf.ok());
  EXPECT_EQ(VerifyChain(*leaf + ca_.certificate_pem(), *found, true, std::nullopt).code(),
            Code::kUnauthenticated);
}

TEST_F(CertificateTest, CaSurvivesItsFiles) {
  const auto again = CertificateAuthority::Load(ca_.certificate_pem(), ca_.private_pem());
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->fingerprint(), ca_.fingerprint());
  const auto pem = again->Issue(key_.public_pem, Device("d1"), hours(1), clock_);
  ASSERT_TRUE(pem.ok());
  EXPECT_TRUE(VerifyChain(*pem, ca_.certificate_pem(), false, clock_.Now()).ok());
  EXPECT_FALSE(CertificateAuthority::Load(ca_.certificate_pem(), key_.private_pem).ok());
  EXPECT_FALSE(CertificateAuthority::Load(ca_.private_pem(), ca_.private_pem()).ok());
}

TEST_F(CertificateTest, CsrGivesItsKeyAndNothingElse) {
  const auto csr = MakeCsr(key_.private_pem, "quantfleet device");
  ASSERT_TRUE(csr.ok()) << csr.status();
  const auto key = CsrPublicKey(*csr);
  ASSERT_TRUE(key.ok()) << key.status();
  EXPECT_EQ(*key, key_.public_pem);

  EXPECT_EQ(CsrPublicKey("nonsense").status().code(), Code::kInvalidArgument);
  EXPECT_EQ(CsrPublicKey(key_.public_pem).status().code(), Code::kInvalidArgument);
  std::string damaged = *csr;
  for (size_t at = 60; at < damaged.size() - 60; at += 17) {
    damaged = *csr;
    damaged[at] = damaged[at] == 'A' ? 'B' : 'A';
    if (damaged[at] != (*csr)[at]) {
      EXPECT_FALSE(CsrPublicKey(damaged).ok()) << at;
    }
  }
  for (const std::string& name : {std::string(), std::string("a\nb"), std::string(65, 'a')})
    EXPECT_FALSE(MakeCsr(key_.private_pem, name).ok()) << name;
  EXPECT_FALSE(MakeCsr(key_.public_pem, "a").ok());
}

TEST_F(CertificateTest, DamagedPemIsAnErrorNotACrash) {
  const std::string good = Issue(Server());
  for (size_t at = 0; at < good.size(); at += 13) {
    std::string bad = good;
    bad[at] = '\x01';
    EXPECT_FALSE(VerifyChain(bad, ca_.certificate_pem(), true, std::nullopt).ok()) << at;
    EXPECT_FALSE(ReadCertificate(good.substr(0, at)).ok()) << at;
  }
  EXPECT_FALSE(
      VerifyChain(good + good.substr(0, good.size() / 2), ca_.certificate_pem(), true, std::nullopt)
          .ok());
  EXPECT_FALSE(CertificateFingerprint("").ok());
  EXPECT_FALSE(ReadCertificate(ca_.certificate_pem()).ok()) << "the CA is nobody's identity";
}

TEST_F(CertificateTest, ProofOfPossession) {
  const auto signature = SignWithTlsKey(key_.private_pem, AsBytes("nonce"));
  ASSERT_TRUE(signature.ok()) << signature.status();
  EXPECT_TRUE(VerifyWithPublicKey(key_.public_pem, AsBytes("nonce"), *signature));
  EXPECT_FALSE(VerifyWithPublicKey(key_.public_pem, AsBytes("nonsense"), *signature));
  EXPECT_FALSE(VerifyWithPublicKey(GenerateTlsKey().public_pem, AsBytes("nonce"), *signature));
  EXPECT_FALSE(VerifyWithPublicKey(key_.public_pem, AsBytes("nonce"), ""));
  EXPECT_FALSE(VerifyWithPublicKey("", AsBytes("nonce"), *signature));
  EXPECT_FALSE(SignWithTlsKey("", AsBytes("nonce")).ok());
}

}  // namespace
}  // namespace quantfleet::trust
