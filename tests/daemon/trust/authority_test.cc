#include "daemon/trust/authority.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "common/trust/statement.h"
#include "common/trust/trust_root.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace quantfleet::daemon {
namespace {

using ::testing::HasSubstr;
using testing::Names;

class AuthorityTest : public ::testing::Test {
 protected:
  std::unique_ptr<Authority> Open(const std::vector<std::string>& listen = {}) {
    auto authority = Authority::Open(RealFileSystem(), clock_, dir_.path(), listen);
    EXPECT_TRUE(authority.ok()) << Describe(authority.status());
    return authority.ok() ? std::move(*authority) : nullptr;
  }
  static fs::perms Mode(const fs::path& path) {
    return fs::status(path).permissions() & fs::perms::mask;
  }

  testing::TempDir dir_;
  ManualClock clock_;
};

TEST_F(AuthorityTest, TheSameCaAndSigningKeyAtEveryStart) {
  const auto first = Open();
  const auto second = Open();
  EXPECT_EQ(first->ca_fingerprint(), second->ca_fingerprint());
  EXPECT_EQ(first->trust_root().SerializeAsString(), second->trust_root().SerializeAsString());
}

TEST_F(AuthorityTest, KeysAreForTheOwnerAlone) {
  const auto authority = Open();
  ASSERT_TRUE(authority->ServerIdentity().ok());
  ASSERT_TRUE(authority->WriteAdminCredential("localhost:1").ok());
  EXPECT_EQ(Mode(dir_ / "keys"), fs::perms::owner_all);
  const fs::perms secret = fs::perms::owner_read | fs::perms::owner_write;
  for (const char* name : {"keys/ca.pem", "keys/signing.pem", "keys/server.pem", "keys/admin.pem",
                           "keys/roots.b64", "admin.json"})
    EXPECT_EQ(Mode(dir_ / name), secret) << name;
}

TEST_F(AuthorityTest, ALostKeyIsReportedNotReplaced) {
  {
    ASSERT_TRUE(Open()->ServerIdentity().ok());
  }
  fs::rename(dir_ / "keys/ca.pem", dir_ / "ca.pem");
  auto without_ca = Authority::Open(RealFileSystem(), clock_, dir_.path(), {});
  EXPECT_EQ(without_ca.status().code(), absl::StatusCode::kFailedPrecondition);
  fs::rename(dir_ / "ca.pem", dir_ / "keys/ca.pem");
  fs::remove(dir_ / "keys/signing.pem");
  auto without_key = Authority::Open(RealFileSystem(), clock_, dir_.path(), {});
  EXPECT_EQ(without_key.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Message(without_key.status()), HasSubstr("signing.pem"));
}

TEST_F(AuthorityTest, ASecondSigningKeySignsBesideTheFirstAndThenAlone) {
  const v1::TrustRoot first = Open()->trust_root();
  EXPECT_EQ(Authority::RetireOldKeys(RealFileSystem(), dir_.path()).code(),
            absl::StatusCode::kFailedPrecondition);
  ASSERT_TRUE(Authority::RotateSigningKey(RealFileSystem(), dir_.path()).ok());
  EXPECT_EQ(Authority::RotateSigningKey(RealFileSystem(), dir_.path()).code(),
            absl::StatusCode::kFailedPrecondition);
  const auto both = Open();
  EXPECT_EQ(both->trust_root().version(), 2u);
  EXPECT_EQ(both->trust_root().keys_size(), 2);
  const v1::Signed statement = both->SignStatement(trust::kAssignmentType, "told").value();
  EXPECT_EQ(statement.signatures_size(), 2);
  EXPECT_TRUE(trust::Verify(statement, trust::kAssignmentType, first).ok())
      << "a device with the old root believes it";
  EXPECT_TRUE(trust::Verify(statement, trust::kAssignmentType, both->trust_root()).ok());

  ASSERT_TRUE(Authority::RetireOldKeys(RealFileSystem(), dir_.path()).ok());
  const auto last = Open();
  EXPECT_EQ(last->trust_root().version(), 3u);
  EXPECT_EQ(last->trust_root().keys_size(), 1);
  EXPECT_TRUE(trust::Verify(statement, trust::kAssignmentType, last->trust_root()).ok());
  EXPECT_FALSE(trust::Verify(last->SignStatement(trust::kAssignmentType, "told").value(),
                             trust::kAssignmentType, first)
                   .ok());
  EXPECT_EQ(Mode(dir_ / "keys/signing.pem"), fs::perms::owner_read | fs::perms::owner_write);
}

// Whoever slept while keys came and went is led from any root that there was to the last.
TEST_F(AuthorityTest, EveryRootLeadsToTheLast) {
  std::vector<v1::TrustRoot> roots = {Open()->trust_root()};
  const auto change = [&](const absl::Status& changed) {
    ASSERT_TRUE(changed.ok()) << Describe(changed);
    roots.push_back(Open()->trust_root());
    EXPECT_EQ(roots.back().version(), roots.size());
  };
  FileSystem& files = RealFileSystem();
  for (int i = 0; i < 2; ++i) {
    change(Authority::RotateSigningKey(files, dir_.path()));
    change(Authority::RetireOldKeys(files, dir_.path()));
    change(Authority::RotateCa(files, clock_, dir_.path()));
    change(Authority::RetireOldKeys(files, dir_.path()));
  }
  const auto authority = Open();
  EXPECT_TRUE(authority->TrustRootsAfter(9).empty());
  EXPECT_TRUE(authority->TrustRootsAfter(99).empty());
  EXPECT_EQ(authority->signed_trust_root().payload(), roots.back().SerializeAsString());
  for (v1::TrustRoot& root : roots) {
    const auto later = authority->TrustRootsAfter(root.version());
    EXPECT_EQ(later.size(), roots.size() - root.version());
    for (const v1::Signed& statement : later) EXPECT_TRUE(trust::Succeed(root, statement));
    EXPECT_EQ(root.SerializeAsString(), authority->trust_root().SerializeAsString());
  }
  EXPECT_EQ(Mode(dir_ / "keys/roots.b64"), fs::perms::owner_read | fs::perms::owner_write);
}

// The daemon was not started in between: what the old key has to sign is signed before it goes.
TEST_F(AuthorityTest, AChainHoldsWithoutAStartBetween) {
  v1::TrustRoot root = Open()->trust_root();
  ASSERT_TRUE(Authority::RotateSigningKey(RealFileSystem(), dir_.path()).ok());
  ASSERT_TRUE(Authority::RetireOldKeys(RealFileSystem(), dir_.path()).ok());
  const auto authority = Open();
  for (const v1::Signed& statement : authority->TrustRootsAfter(1))
    EXPECT_TRUE(trust::Succeed(root, statement));
  EXPECT_EQ(root.version(), 3u);
}

TEST_F(AuthorityTest, WithoutItsChainItGoesOnFromTheRootAtHandAndADamagedOneIsNamed) {
  Open();
  fs::remove(dir_ / "keys/roots.b64");  // a daemon of before
  ASSERT_TRUE(Authority::RotateSigningKey(RealFileSystem(), dir_.path()).ok());
  EXPECT_EQ(Open()->TrustRootsAfter(0).size(), 2u);
  for (const char* bad : {"***\n", "AAAA\n"}) {
    ASSERT_TRUE(RealFileSystem()
                    .WriteAtomically(dir_ / "keys/roots.b64", AsBytes(bad), OpenMode::kPrivate)
                    .ok());
    const auto opened = Authority::Open(RealFileSystem(), clock_, dir_.path(), {});
    EXPECT_THAT(Message(opened.status()), HasSubstr("roots.b64")) << bad;
  }
}

TEST_F(AuthorityTest, AFarBehindDeviceIsLedInSeveralAnswers) {
  v1::TrustRoot root = Open()->trust_root();
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(Authority::RotateSigningKey(RealFileSystem(), dir_.path()).ok());
    ASSERT_TRUE(Authority::RetireOldKeys(RealFileSystem(), dir_.path()).ok());
  }
  const auto authority = Open();
  int answers = 0;
  for (; root.version() < authority->trust_root().version() && answers < 5; ++answers) {
    const auto some = authority->TrustRootsAfter(root.version());
    EXPECT_LE(some.size(), static_cast<size_t>(trust::kMaxTrustRoots));
    for (const v1::Signed& statement : some) EXPECT_TRUE(trust::Succeed(root, statement));
  }
  EXPECT_EQ(root.version(), 21u);
  EXPECT_EQ(answers, 2);
}

TEST_F(AuthorityTest, KeysAndFoldersThatOthersMayChangeAreRefusedWithTheCommandThatMendsIt) {
  ASSERT_TRUE(Open()->ServerIdentity().ok());
  const auto refused = [&](const char* name, int mode, const std::string& command) {
    const fs::path path = *name == '\0' ? dir_.path() : dir_ / name;
    const fs::perms before = Mode(path);
    fs::permissions(path, static_cast<fs::perms>(mode));
    absl::Status status;
    auto authority = Authority::Open(RealFileSystem(), clock_, dir_.path(), {});
    status = authority.ok() ? (*authority)->ServerIdentity().status() : authority.status();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << name;
    EXPECT_THAT(Message(status), HasSubstr(command + " " + path.string())) << name;
    fs::permissions(path, before);
  };
  for (const char* name : {"keys/ca.pem", "keys/signing.pem", "keys/server.pem"})
    for (const int mode : {0666, 0644, 0640}) refused(name, mode, "chmod 600");
  refused("keys", 0777, "chmod go-w");
  for (const int mode : {0777, 0775, 01777}) refused("", mode, "chmod go-w");
  fs::permissions(dir_.path(), static_cast<fs::perms>(0755));
  EXPECT_NE(Open(), nullptr);
}

TEST_F(AuthorityTest, AStatementOfTheOldKeyIsSignedAnewOnce) {
  v1::Signed statement = Open()->SignStatement(trust::kAssignmentType, "told").value();
  EXPECT_FALSE(Open()->SignAnew(statement));
  ASSERT_TRUE(Authority::RotateSigningKey(RealFileSystem(), dir_.path()).ok());
  EXPECT_TRUE(Open()->SignAnew(statement));
  EXPECT_FALSE(Open()->SignAnew(statement));
  EXPECT_EQ(statement.signatures_size(), 2);
}

TEST_F(AuthorityTest, ASecondCaIsTrustedBesideTheFirstAndThenAlone) {
  const auto first = Open();
  const std::string old_server = first->ServerIdentity()->certificate_pem;
  ASSERT_TRUE(first->WriteAdminCredential("localhost:1").ok());
  ASSERT_TRUE(Authority::RotateCa(RealFileSystem(), clock_, dir_.path()).ok());
  for (const absl::Status& again : {Authority::RotateCa(RealFileSystem(), clock_, dir_.path()),
                                    Authority::RotateSigningKey(RealFileSystem(), dir_.path())})
    EXPECT_THAT(Describe(again), Names("2 CAs", "retire"));

  const auto both = Open();
  EXPECT_EQ(both->trust_root().version(), 2u);
  EXPECT_EQ(both->ca_version(), 2u);
  EXPECT_EQ(both->trust_root().ca_pem(), both->authorities_pem());
  const auto authorities = trust::SplitCertificates(both->authorities_pem());
  ASSERT_TRUE(authorities.ok());
  ASSERT_EQ(authorities->size(), 2u);
  EXPECT_EQ(authorities->front(), first->authorities_pem());
  EXPECT_EQ(both->ca_fingerprint(), first->ca_fingerprint());
  EXPECT_EQ(both->ServerIdentity()->certificate_pem, old_server) << "every device knows the old CA";
  const auto key = trust::GenerateTlsKey();
  const auto issued_by = [&](const Authority& authority, uint32_t knows) {
    const std::string device =
        authority.IssueDevice(key.public_pem, "d1", std::chrono::hours(24), knows).value();
    for (size_t i = 0; i < authorities->size(); ++i)
      if (trust::VerifyChain(device, (*authorities)[i], false, clock_.Now()).ok())
        return static_cast<int>(i);
    return -1;
  };
  EXPECT_EQ(issued_by(*both, 0), 0);
  EXPECT_EQ(issued_by(*both, 1), 0);
  EXPECT_EQ(issued_by(*both, 2), 1);
  ASSERT_TRUE(both->WriteAdminCredential("localhost:1").ok());
  const std::string admin = *RealFileSystem().ReadAll(dir_ / "keys/admin.pem");
  EXPECT_TRUE(trust::VerifyChain(admin, authorities->back(), false, clock_.Now()).ok());

  ASSERT_TRUE(Authority::RetireOldKeys(RealFileSystem(), dir_.path()).ok());
  const auto last = Open();
  EXPECT_EQ(last->trust_root().version(), 3u);
  EXPECT_EQ(last->authorities_pem(), authorities->back());
  EXPECT_EQ(issued_by(*last, 0), 1);
  const auto server = last->ServerIdentity();
  EXPECT_TRUE(
      trust::VerifyChain(server->certificate_pem, authorities->back(), true, clock_.Now()).ok());
  ASSERT_TRUE(last->WriteAdminCredential("localhost:1").ok());
  EXPECT_EQ(*RealFileSystem().ReadAll(dir_ / "keys/admin.pem"), admin)
      << "a copy from during the change holds";
  EXPECT_EQ(Authority::RetireOldKeys(RealFileSystem(), dir_.path()).code(),
            absl::StatusCode::kFailedPrecondition);
  // Versions of keys and of CAs are one count.
  ASSERT_TRUE(Authority::RotateSigningKey(RealFileSystem(), dir_.path()).ok());
  EXPECT_EQ(Open()->trust_root().version(), 4u);
  EXPECT_EQ(Mode(dir_ / "keys/ca.pem"), fs::perms::owner_read | fs::perms::owner_write);
}

TEST_F(AuthorityTest, ACaFileOfVersionOneIsReadAndADamagedOneIsNamed) {
  const std::string pem = [&] {
    Open();
    const std::string text = *RealFileSystem().ReadAll(dir_ / "keys/ca.pem");
    return text.substr(text.find('\n') + 1);
  }();
  ASSERT_TRUE(RealFileSystem()
                  .WriteAtomically(dir_ / "keys/ca.pem", AsBytes(pem), OpenMode::kPrivate)
                  .ok());
  EXPECT_EQ(Open()->trust_root().version(), 1u);
  const std::string without_key = pem.substr(0, pem.find("-----BEGIN PRIVATE KEY-----"));
  for (const std::string& bad :
       {std::string("# trust root 0\n") + pem, std::string("# trust root 2\n"), without_key}) {
    ASSERT_TRUE(RealFileSystem()
                    .WriteAtomically(dir_ / "keys/ca.pem", AsBytes(bad), OpenMode::kPrivate)
                    .ok());
    const auto opened = Authority::Open(RealFileSystem(), clock_, dir_.path(), {});
    EXPECT_THAT(Message(opened.status()), HasSubstr("ca.pem")) << bad;
    EXPECT_THAT(Message(opened.status()), HasSubstr("backup")) << bad;
  }
}

TEST_F(AuthorityTest, AKeyFileOfVersionOneIsReadAndADamagedOneIsNamed) {
  const auto key = trust::SigningKey::Generate();
  Open();
  ASSERT_TRUE(
      RealFileSystem()
          .WriteAtomically(dir_ / "keys/signing.pem", AsBytes(key.ToPem()), OpenMode::kPrivate)
          .ok());
  EXPECT_EQ(Open()->trust_root().version(), 1u);
  EXPECT_EQ(Open()->trust_root().keys(0).key_id(), key.key_id());
  for (const std::string& bad : {std::string("# trust root x\n") + key.ToPem(),
                                 std::string("# trust root 2\n"), std::string()}) {
    ASSERT_TRUE(RealFileSystem()
                    .WriteAtomically(dir_ / "keys/signing.pem", AsBytes(bad), OpenMode::kPrivate)
                    .ok());
    const auto opened = Authority::Open(RealFileSystem(), clock_, dir_.path(), {});
    EXPECT_THAT(Message(opened.status()), HasSubstr("signing.pem")) << bad;
  }
}

TEST_F(AuthorityTest, TheServerCertificateIsKeptUntilItNearsItsEnd) {
  const auto authority = Open({"10.1.2.3", "quantfleet.example", "0.0.0.0"});
  const auto first = authority->ServerIdentity();
  ASSERT_TRUE(first.ok()) << Describe(first.status());
  EXPECT_TRUE(
      trust::VerifyChain(first->certificate_pem, authority->authorities_pem(), true, clock_.Now())
          .ok());
  const auto info = trust::ReadCertificate(first->certificate_pem);
  ASSERT_TRUE(info.ok());
  EXPECT_THAT(info->subject.dns_names,
              ::testing::IsSupersetOf({"localhost", "quantfleet.example"}));
  EXPECT_THAT(info->subject.ip_addresses,
              ::testing::IsSupersetOf({"127.0.0.1", "0:0:0:0:0:0:0:1", "10.1.2.3"}));

  clock_.Advance(std::chrono::hours(24 * 59));
  EXPECT_EQ(authority->ServerIdentity()->certificate_pem, first->certificate_pem);
  clock_.Advance(std::chrono::hours(24 * 2));
  const auto renewed = authority->ServerIdentity();
  ASSERT_TRUE(renewed.ok());
  EXPECT_NE(renewed->certificate_pem, first->certificate_pem);
  EXPECT_EQ(Open({"quantfleet.example", "10.1.2.3"})->ServerIdentity()->certificate_pem,
            renewed->certificate_pem);
}

// What checks the name, as Prometheus does, finds one, wherever the daemon listens.
TEST_F(AuthorityTest, TheServerCertificateNamesThisMachineEvenWhereItListensEverywhere) {
  const auto identity = Open({"0.0.0.0", "::"})->ServerIdentity();
  ASSERT_TRUE(identity.ok()) << Describe(identity.status());
  const auto info = trust::ReadCertificate(identity->certificate_pem);
  ASSERT_TRUE(info.ok());
  char machine[256] = {};
  ASSERT_EQ(::gethostname(machine, sizeof machine - 1), 0);
  EXPECT_THAT(info->subject.dns_names,
              ::testing::IsSupersetOf({std::string("localhost"), std::string(machine)}));
  EXPECT_THAT(info->subject.ip_addresses,
              ::testing::UnorderedElementsAre("127.0.0.1", "0:0:0:0:0:0:0:1"));
}

TEST_F(AuthorityTest, OtherNamesMeanANewServerCertificate) {
  const auto pem = [&](const std::vector<std::string>& names) {
    return Open(names)->ServerIdentity()->certificate_pem;
  };
  const std::string both = pem({"a.example", "b.example"});
  EXPECT_EQ(pem({"b.example", "a.example"}), both);
  const std::string one = pem({"a.example"});
  EXPECT_NE(one, both) << "it no longer answers to the other";
  EXPECT_EQ(trust::ReadCertificate(one)->subject.dns_names.back(), "a.example");
  const auto bad = Open({"no name"})->ServerIdentity();
  EXPECT_EQ(bad.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Message(bad.status()), HasSubstr("no name"));
}

TEST_F(AuthorityTest, ANewAddressOrADamagedFileMeansANewServerCertificate) {
  const auto first = Open()->ServerIdentity();
  ASSERT_TRUE(first.ok());
  const auto second = Open({"10.9.9.9"})->ServerIdentity();
  ASSERT_TRUE(second.ok());
  EXPECT_NE(first->certificate_pem, second->certificate_pem);
  fs::resize_file(dir_ / "keys/server.pem", 100);
  const auto third = Open()->ServerIdentity();
  ASSERT_TRUE(third.ok()) << Describe(third.status());
  EXPECT_NE(third->certificate_pem, second->certificate_pem);
}

TEST_F(AuthorityTest, TheAdminsKeyStaysWhenThePortChanges) {
  const auto authority = Open();
  ASSERT_TRUE(authority->WriteAdminCredential("localhost:1").ok());
  const std::string first = *RealFileSystem().ReadAll(dir_ / "admin.json");
  ASSERT_TRUE(authority->WriteAdminCredential("localhost:2").ok());
  std::string second = *RealFileSystem().ReadAll(dir_ / "admin.json");
  EXPECT_THAT(second, HasSubstr("\"server\": \"localhost:2\""));
  EXPECT_THAT(second, HasSubstr("\"private_pem\": \"-----BEGIN PRIVATE KEY-----\\n"));
  second.replace(second.find("localhost:2"), 11, "localhost:1");
  EXPECT_EQ(first, second);
}

TEST_F(AuthorityTest, IssuesCertificatesAndStatementsThatItsTrustRootVerifies) {
  const auto authority = Open();
  const auto key = trust::GenerateTlsKey();
  const auto device = authority->IssueDevice(key.public_pem, "d1", std::chrono::hours(24));
  ASSERT_TRUE(device.ok());
  EXPECT_TRUE(trust::VerifyChain(*device, authority->authorities_pem(), false, clock_.Now()).ok());
  EXPECT_EQ(trust::ReadCertificate(*device)->subject.id, "d1");
  EXPECT_EQ(authority->IssueOperator(key.public_pem, "eve", "root", Duration(1)).status().code(),
            absl::StatusCode::kInvalidArgument);
  const auto statement = authority->SignStatement(trust::kAssignmentType, "payload").value();
  EXPECT_TRUE(trust::Verify(statement, trust::kAssignmentType, authority->trust_root()).ok());
  EXPECT_FALSE(
      trust::Verify(statement, trust::kArtifactStatementType, authority->trust_root()).ok());
}

}  // namespace
}  // namespace quantfleet::daemon
