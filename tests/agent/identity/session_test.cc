#include "agent/identity/session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>

#include "agent/identity/enrollment.h"
#include "tests/agent/identity/fake_daemon.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace quantfleet::agent {
namespace {

constexpr Duration kDay = std::chrono::hours(24);

class SessionTest : public ::testing::Test {
 protected:
  void SetUp() override {
    TrustedClock clock(daemon_.clock_);
    EnrollmentRequest request;
    request.server = "daemon:8443";
    request.token = daemon_.Token();
    const auto enrollment = Enroll(store_, daemon_.connector(), clock, random_, request);
    ASSERT_TRUE(enrollment.ok()) << enrollment.status();
  }
  // One life of the agent on a machine whose clock says `at`.
  struct Life {
    Life(const IdentityStore& store, FakeDaemon& daemon, Time at)
        : system(at), clock(system), session(store, daemon.connector(), clock, *store.Load()) {}
    absl::Status CheckIn() { return session.CheckIn({}).status(); }
    ManualClock system;
    TrustedClock clock;
    Session session;
  };
  std::unique_ptr<Life> Begin(Time at) { return std::make_unique<Life>(store_, daemon_, at); }
  std::unique_ptr<Life> BeginNow() { return Begin(daemon_.clock_.Now()); }

  testing::FaultyFileSystem files_;
  testing::TempDir dir_;
  const IdentityStore store_{files_, dir_.path()};
  FakeDaemon daemon_;
  SeededRandom random_{9};
};

TEST_F(SessionTest, ChecksInWithoutRenewalWhileTheCertificateIsFresh) {
  auto life = BeginNow();
  ASSERT_TRUE(life->CheckIn().ok());
  EXPECT_EQ(daemon_.renewals, 0);
  EXPECT_EQ(daemon_.challenges, 1) << "that of the enrollment";
  EXPECT_EQ(life->session.blob_access().address, "daemon:9443")
      << "the daemon's newest word on its blobs";
}

TEST_F(SessionTest, GoesWhereTheDaemonListensForItsFleet) {
  daemon_.fleet_endpoint = ":7445";
  auto life = BeginNow();
  ASSERT_TRUE(life->CheckIn().ok());
  EXPECT_EQ(daemon_.checked_in_at, "daemon:8443");
  ASSERT_TRUE(life->CheckIn().ok());
  EXPECT_EQ(daemon_.checked_in_at, "daemon:7445");
  life = BeginNow();
  daemon_.fleet_endpoint.clear();
  ASSERT_TRUE(life->CheckIn().ok());
  EXPECT_EQ(daemon_.checked_in_at, "daemon:7445") << "it was kept";
  ASSERT_TRUE(life->CheckIn().ok());
  EXPECT_EQ(daemon_.checked_in_at, "daemon:8443") << "and then there was none any more";
}

// A firewall, or a daemon that listens there no more.
TEST_F(SessionTest, WhereTheFleetsListenerDoesNotAnswerTheFirstAddressServes) {
  daemon_.fleet_endpoint = ":7445";
  daemon_.silent = {"daemon:7445"};
  auto life = BeginNow();
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(life->CheckIn().ok()) << i;
    EXPECT_EQ(daemon_.checked_in_at, "daemon:8443");
  }
  // It is tried again, in time, or as soon as the other does not answer.
  daemon_.silent.clear();
  life->system.Advance(std::chrono::minutes(11));
  daemon_.clock_.Advance(std::chrono::minutes(11));
  ASSERT_TRUE(life->CheckIn().ok());
  EXPECT_EQ(daemon_.checked_in_at, "daemon:7445");
  daemon_.silent = {"daemon:8443"};
  ASSERT_TRUE(life->CheckIn().ok());
  EXPECT_EQ(daemon_.checked_in_at, "daemon:7445");
}

TEST_F(SessionTest, ANewerTrustRootIsTakenFromAKeyOfTheOneAtHand) {
  auto life = BeginNow();
  const auto other = trust::SigningKey::Generate();
  v1::TrustRoot next = life->session.identity().trust_root;
  next.set_version(2);
  v1::VerifyKey& key = *next.add_keys();
  key.set_public_key(other.public_key());
  key.add_payload_types(std::string(trust::kTrustRootType));

  // Of a key that it does not know, for another CA, or older: nothing changes.
  daemon_.trust_root = trust::Sign(other, trust::kTrustRootType, next.SerializeAsString());
  ASSERT_TRUE(life->CheckIn().ok());
  EXPECT_EQ(life->session.identity().trust_root.version(), 1u);
  v1::TrustRoot foreign = next;
  foreign.set_ca_pem("another");
  daemon_.trust_root =
      trust::Sign(daemon_.signing_, trust::kTrustRootType, foreign.SerializeAsString());
  ASSERT_TRUE(life->CheckIn().ok());
  EXPECT_EQ(life->session.identity().trust_root.version(), 1u);
  EXPECT_EQ(daemon_.heard_trust_root_version, 1u);

  daemon_.trust_root =
      trust::Sign(daemon_.signing_, trust::kTrustRootType, next.SerializeAsString());
  ASSERT_TRUE(life->CheckIn().ok());
  EXPECT_EQ(life->session.identity().trust_root.SerializeAsString(), next.SerializeAsString());
  // It is kept, told of, and what comes next may be signed by the new key alone.
  life = BeginNow();
  EXPECT_EQ(life->session.identity().trust_root.version(), 2u);
  next.set_version(3);
  next.mutable_keys()->DeleteSubrange(0, 1);
  daemon_.trust_root = trust::Sign(other, trust::kTrustRootType, next.SerializeAsString());
  ASSERT_TRUE(life->CheckIn().ok());
  EXPECT_EQ(daemon_.heard_trust_root_version, 2u);
  EXPECT_EQ(life->session.identity().trust_root.version(), 3u);
}

TEST_F(SessionTest, ANewCaIsTakenFromASignedRootAndTheCertificateChangesToIt) {
  auto life = BeginNow();
  ASSERT_TRUE(life->CheckIn().ok());
  daemon_.next_ca_ = trust::CertificateAuthority::Create("next", daemon_.clock_);
  // A renewal's answer is not signed: it brings no CA.
  daemon_.clock_.Advance(kDay * 5);
  life->system.Advance(kDay * 5);
  ASSERT_TRUE(life->CheckIn().ok());
  EXPECT_EQ(daemon_.renewals, 1);
  EXPECT_EQ(life->session.identity().trust_root.version(), 1u);

  v1::TrustRoot both = life->session.identity().trust_root;
  both.set_version(2);
  both.set_ca_pem(daemon_.AuthoritiesPem());
  daemon_.trust_root =
      trust::Sign(daemon_.signing_, trust::kTrustRootType, both.SerializeAsString());
  ASSERT_TRUE(life->CheckIn().ok());
  EXPECT_EQ(life->session.identity().trust_root.ca_pem(), both.ca_pem());
  ASSERT_TRUE(life->CheckIn().ok());
  EXPECT_EQ(daemon_.renewals, 2) << "at once, long before its end";
  const auto leads_to = [&](const trust::CertificateAuthority& ca) {
    return trust::VerifyChain(store_.Load()->certificate_pem, ca.certificate_pem(), false,
                              std::nullopt)
        .ok();
  };
  EXPECT_TRUE(leads_to(*daemon_.next_ca_));
  EXPECT_FALSE(leads_to(daemon_.ca_));
  ASSERT_TRUE(life->CheckIn().ok());
  EXPECT_EQ(daemon_.renewals, 2);
}

TEST_F(SessionTest, ADaemonThatGoesOnWithItsOldCaIsNotAskedAtEachCheckIn) {
  auto life = BeginNow();
  daemon_.next_ca_ = trust::CertificateAuthority::Create("next", daemon_.clock_);
  v1::TrustRoot both = life->session.identity().trust_root;
  both.set_version(2);
  both.set_ca_pem(daemon_.AuthoritiesPem());
  daemon_.trust_root =
      trust::Sign(daemon_.signing_, trust::kTrustRootType, both.SerializeAsString());
  daemon_.next_ca_.reset();
  ASSERT_TRUE(life->CheckIn().ok());
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(life->CheckIn().ok());
  EXPECT_EQ(daemon_.renewals, 1);
}

// The daemon's TLS key, and not its signing key: nothing that such a server says changes whom the
// device trusts.
TEST_F(SessionTest, AServerWithTheTlsKeyAloneCannotChangeTheRootByARenewal) {
  const std::string before = store_.Load()->trust_root.SerializeAsString();
  const auto thief = trust::SigningKey::Generate();
  const auto thiefs_ca = trust::CertificateAuthority::Create("thief", daemon_.clock_);
  const auto thiefs_root = [&](const v1::TrustRoot& from, uint32_t version) {
    v1::TrustRoot root = from;
    root.set_version(version);
    root.mutable_keys(0)->set_key_id(thief.key_id());
    root.mutable_keys(0)->set_public_key(thief.public_key());
    return root;
  };
  for (const bool another_ca : {false, true}) {
    for (const uint32_t version : {0u, 1u, 2u, 1000u}) {
      daemon_.spoil_identity = [&](v1::Identity* identity) {
        v1::TrustRoot root = thiefs_root(identity->trust_root(), version);
        if (another_ca) root.mutable_ca_pem()->append(thiefs_ca.certificate_pem());
        *identity->mutable_trust_root() = root;
        *identity->add_trust_roots() =
            trust::Sign(thief, trust::kTrustRootType, root.SerializeAsString());
      };
      daemon_.clock_.Advance(kDay * 10);
      const int renewals = daemon_.renewals;
      auto life = BeginNow();
      ASSERT_OK(life->CheckIn());
      EXPECT_GT(daemon_.renewals, renewals) << "it has a certificate";
      EXPECT_EQ(life->session.identity().trust_root.SerializeAsString(), before);
      EXPECT_EQ(store_.Load()->trust_root.SerializeAsString(), before);
    }
  }
}

TEST_F(SessionTest, AnExpiredDeviceComesBackAfterTheKeysWereChanged) {
  v1::TrustRoot first = store_.Load()->trust_root, both = first, last = first;
  const trust::SigningKey old = std::exchange(daemon_.signing_, trust::SigningKey::Generate());
  const trust::SigningKey& next = daemon_.signing_;
  both.set_version(2);
  v1::VerifyKey& key = *both.add_keys();
  key.set_key_id(next.key_id());
  key.set_public_key(next.public_key());
  key.add_payload_types(std::string(trust::kTrustRootType));
  last.set_version(3);
  *last.mutable_keys(0) = both.keys(1);
  daemon_.trust_roots = {trust::Sign(old, trust::kTrustRootType, both.SerializeAsString()),
                         trust::Sign(next, trust::kTrustRootType, last.SerializeAsString())};
  daemon_.clock_.Advance(kDay * 400);
  // The server's own certificate was renewed meanwhile.
  daemon_.server_chain_ =
      *daemon_.ca_.Issue(trust::GenerateTlsKey().public_pem,
                         {trust::Subject::Kind::kServer, "quantfleetd", "", {}, {}}, kDay * 90,
                         daemon_.clock_) +
      daemon_.ca_.certificate_pem();
  for (const Time at : {daemon_.clock_.Now(), FromUnixMillis(0)}) {
    auto life = Begin(at);
    ASSERT_OK(life->CheckIn());
    EXPECT_EQ(life->session.identity().trust_root.SerializeAsString(), last.SerializeAsString());
    EXPECT_EQ(store_.Load()->trust_root.version(), 3u);
    DeviceIdentity again = *store_.Load();
    again.trust_root = first;
    ASSERT_OK(store_.Save(again));
  }
}

TEST_F(SessionTest, AnExpiredDeviceComesBackWhileTheCaIsChanged) {
  v1::TrustRoot both = store_.Load()->trust_root;
  daemon_.next_ca_ = trust::CertificateAuthority::Create("next", daemon_.clock_);
  both.set_version(2);
  both.set_ca_pem(daemon_.AuthoritiesPem());
  daemon_.trust_roots = {
      trust::Sign(daemon_.signing_, trust::kTrustRootType, both.SerializeAsString())};
  daemon_.clock_.Advance(kDay * 30);
  auto life = BeginNow();
  ASSERT_OK(life->CheckIn());
  ASSERT_OK(life->CheckIn());
  EXPECT_EQ(life->session.identity().trust_root.ca_pem(), both.ca_pem());
  EXPECT_EQ(daemon_.renewals, 2) << "the second one brought a certificate of the new CA";
  EXPECT_TRUE(trust::VerifyChain(store_.Load()->certificate_pem,
                                 daemon_.next_ca_->certificate_pem(), false, std::nullopt)
                  .ok());
}

TEST_F(SessionTest, ACheckInBringsTheRootsBetween) {
  v1::TrustRoot both = store_.Load()->trust_root, last = both;
  const trust::SigningKey next = trust::SigningKey::Generate();
  both.set_version(2);
  v1::VerifyKey& key = *both.add_keys();
  key.set_key_id(next.key_id());
  key.set_public_key(next.public_key());
  key.add_payload_types(std::string(trust::kTrustRootType));
  last.set_version(3);
  *last.mutable_keys(0) = both.keys(1);
  daemon_.trust_root = trust::Sign(next, trust::kTrustRootType, last.SerializeAsString());
  auto life = BeginNow();
  ASSERT_OK(life->CheckIn());
  EXPECT_EQ(life->session.identity().trust_root.version(), 1u) << "by a key that it does not know";
  daemon_.trust_roots = {
      trust::Sign(daemon_.signing_, trust::kTrustRootType, both.SerializeAsString()),
      *daemon_.trust_root};
  ASSERT_OK(life->CheckIn());
  EXPECT_EQ(life->session.identity().trust_root.version(), 3u);
}

// A stolen certificate of the server ends with its time, which the thief must not hold up or take
// back.
TEST_F(SessionTest, AServerCannotTurnTheClockBack) {
  auto life = BeginNow();
  ASSERT_OK(life->CheckIn());
  const Time now = life->clock.Now();
  daemon_.time_lie = -kDay * 80;
  for (int i = 0; i < 3; ++i) {
    ASSERT_OK(life->CheckIn());
    EXPECT_GE(life->clock.Now(), now);
  }
  // Nor on a machine that does not know the time when it starts.
  life = Begin(FromUnixMillis(0));
  ASSERT_OK(life->CheckIn());
  EXPECT_GE(life->clock.Now(), now);
  daemon_.time_lie = Duration(0);
  daemon_.clock_.Advance(kDay);
  ASSERT_OK(life->CheckIn());
  EXPECT_EQ(life->clock.Now(), daemon_.clock_.Now());
}

// Beyond the end of its certificate the device believes a time only with a certificate that the CA
// has made since.
TEST_F(SessionTest, AServerCannotTurnTheClockFarForward) {
  const Time now = daemon_.clock_.Now();
  const auto before = store_.LastKnownTime();
  const std::string old = store_.Load()->certificate_pem;
  daemon_.spoil_identity = [&](v1::Identity* identity) {
    identity->set_certificate_pem(old);
  };  // it has no CA to make another
  for (const Duration lie :
       {kDay * 60, kDay * 4000}) {  // within the life of the server's certificate, and not
    daemon_.time_lie = lie;
    for (const Time at : {now, FromUnixMillis(0)}) {
      auto life = Begin(at);
      life->CheckIn().IgnoreError();
      EXPECT_EQ(life->clock.Now(), now) << lie.count();
      EXPECT_EQ(store_.LastKnownTime(), before);
    }
  }
  daemon_.time_lie = Duration(0);
  daemon_.spoil_identity = nullptr;
  auto life = Begin(FromUnixMillis(0));
  ASSERT_OK(life->CheckIn());
  EXPECT_EQ(life->clock.Now(), now);
}

// The daemon's clock was ahead while it issued the certificate, and is right again.
class SessionFromTheFutureTest : public SessionTest {
 protected:
  void EnrolledAhead(Duration ahead) {
    daemon_.clock_.Advance(ahead);
    DeviceIdentity identity = *store_.Load();
    identity.certificate_pem = *daemon_.ca_.Issue(
        *trust::CsrPublicKey(*trust::MakeCsr(identity.private_pem, "d")),
        {trust::Subject::Kind::kDevice, "dev-1", "", {}, {}}, daemon_.lifetime, daemon_.clock_);
    ASSERT_OK(store_.Save(identity));
    ASSERT_OK(store_.SaveTime(daemon_.clock_.Now()));
    daemon_.clock_.Advance(-ahead);
  }
  bool HasAFreshCertificate() {
    return trust::ReadCertificate(store_.Load()->certificate_pem)->holds_at(daemon_.clock_.Now());
  }
};

TEST_F(SessionFromTheFutureTest, ACertificateThatHasNotBegunIsRenewed) {
  for (const Duration ahead : {kDay * 2, kDay * 400}) {
    EnrolledAhead(ahead);
    ASSERT_FALSE(HasAFreshCertificate());
    auto life = BeginNow();
    ASSERT_OK(life->CheckIn());
    EXPECT_TRUE(HasAFreshCertificate());
    EXPECT_EQ(life->clock.Now(), daemon_.clock_.Now());
    EXPECT_EQ(store_.LastKnownTime(), daemon_.clock_.Now());
    const int renewals = daemon_.renewals;
    ASSERT_OK(life->CheckIn());
    ASSERT_OK(BeginNow()->CheckIn());
    EXPECT_EQ(daemon_.renewals, renewals) << "once is enough";
  }
}

TEST_F(SessionFromTheFutureTest, ADeviceThatDoesNotKnowTheTimeRenewsItToo) {
  for (const Duration ahead : {kDay * 2, kDay * 400}) {
    EnrolledAhead(ahead);
    auto life = Begin(FromUnixMillis(0));
    ASSERT_OK(life->CheckIn());
    EXPECT_TRUE(HasAFreshCertificate());
    EXPECT_EQ(life->clock.Now(), daemon_.clock_.Now());
    EXPECT_EQ(store_.LastKnownTime(), daemon_.clock_.Now());
    const int renewals = daemon_.renewals;
    ASSERT_OK(life->CheckIn());
    ASSERT_OK(Begin(FromUnixMillis(0))->CheckIn());
    EXPECT_EQ(daemon_.renewals, renewals);
  }
}

TEST_F(SessionFromTheFutureTest, AnAgentThatRanAllTheWhileComesBack) {
  for (const Duration ahead : {Duration(std::chrono::seconds(6)), kDay * 2, kDay * 400}) {
    auto life = BeginNow();
    ASSERT_OK(life->CheckIn());
    daemon_.clock_.Advance(ahead);
    const std::string right = std::exchange(daemon_.server_chain_, daemon_.NewServerChain());
    life->CheckIn().IgnoreError();
    daemon_.clock_.Advance(-ahead);
    daemon_.server_chain_ = right;
    ASSERT_OK(life->CheckIn()) << ahead.count();
    EXPECT_TRUE(HasAFreshCertificate());
    EXPECT_EQ(life->clock.Now(), daemon_.clock_.Now());
  }
}

TEST_F(SessionFromTheFutureTest, TheWarningNamesTheClockThatIsWrong) {
  auto right = BeginNow();
  ASSERT_OK(right->CheckIn());
  EXPECT_FALSE(right->session.ClocksApart());

  auto behind = Begin(daemon_.clock_.Now() - kDay * 3);
  ASSERT_OK(behind->CheckIn());
  auto clocks = behind->session.ClocksApart();
  ASSERT_TRUE(clocks);
  EXPECT_EQ(behind->session.DescribeClocks(*clocks),
            "this device's clock (2027-01-12T08:00:00Z) is 3 days behind the daemon's "
            "(2027-01-15T08:00:00Z): set this device's clock");

  // Too far for the server's certificate: the failure says why.
  auto ahead = Begin(daemon_.clock_.Now() + kDay * 120);
  EXPECT_ERROR(ahead->CheckIn(), kUnavailable, "2027-05-15T08:00:00Z", "120 days ahead");

  daemon_.clock_.Advance(-kDay * 2);
  auto daemon_behind = Begin(daemon_.clock_.Now() + kDay * 2);
  daemon_behind->CheckIn().IgnoreError();
  clocks = daemon_behind->session.ClocksApart();
  ASSERT_TRUE(clocks);
  EXPECT_THAT(daemon_behind->session.DescribeClocks(*clocks),
              ::testing::HasSubstr("set the daemon's clock"));
}

TEST_F(SessionTest, AKeyOrAStateThatOthersMayChangeIsRefusedWithTheCommandThatMendsIt) {
  const auto mode = [&](const fs::path& path, int bits) {
    fs::permissions(path, static_cast<fs::perms>(bits));
  };
  mode(dir_ / "device.key", 0666);
  EXPECT_ERROR(store_.Load(), kFailedPrecondition, "chmod 600 " + (dir_ / "device.key").string());
  EXPECT_ERROR(store_.DeviceKey(), kFailedPrecondition, "mode 0666");
  mode(dir_ / "device.key", 0600);
  mode(dir_ / "identity.json", 0666);
  EXPECT_ERROR(store_.Load(), kFailedPrecondition,
               "chmod go-w " + (dir_ / "identity.json").string());
  mode(dir_ / "identity.json", 0644);
  for (const int bits : {0777, 0770, 01777}) {
    mode(dir_.path(), bits);
    EXPECT_ERROR(store_.Load(), kFailedPrecondition, "chmod go-w " + dir_.path().string());
    EXPECT_ERROR(store_.DeviceKey(), kFailedPrecondition, "chmod go-w " + dir_.path().string());
  }
  for (const int bits : {0755, 0750, 0700}) {
    mode(dir_.path(), bits);
    EXPECT_OK(store_.Load());
  }
}

TEST_F(SessionTest, RenewsWhenAThirdIsLeft) {
  daemon_.clock_.Advance(kDay * 4);
  auto life = BeginNow();
  ASSERT_TRUE(life->CheckIn().ok());
  EXPECT_EQ(daemon_.renewals, 0);
  daemon_.clock_.Advance(kDay);
  life->system.Advance(kDay);
  ASSERT_TRUE(life->CheckIn().ok());
  EXPECT_EQ(daemon_.renewals, 1);
  ASSERT_TRUE(life->CheckIn().ok());
  EXPECT_EQ(daemon_.renewals, 1) << "once is enough";
  EXPECT_EQ(trust::ReadCertificate(store_.Load()->certificate_pem)->not_after,
            std::chrono::floor<std::chrono::seconds>(daemon_.clock_.Now() + daemon_.lifetime));
}

TEST_F(SessionTest, OnAFullDiskANewCertificateWaitsUntilTheOldOneHasExpired) {
  const std::string first = store_.Load()->certificate_pem;
  auto life = BeginNow();
  files_.SetWriteBudget(0);
  life->system.Advance(6 * kDay);
  daemon_.clock_.Advance(6 * kDay);
  EXPECT_OK(life->CheckIn());
  EXPECT_EQ(life->session.identity().certificate_pem, first) << "it could not be kept";
  life->system.Advance(2 * kDay);
  daemon_.clock_.Advance(2 * kDay);
  EXPECT_OK(life->CheckIn());
  EXPECT_NE(life->session.identity().certificate_pem, first);
  EXPECT_EQ(store_.Load()->certificate_pem, first);
  EXPECT_OK(BeginNow()->CheckIn()) << "after a restart";
  files_.SetWriteBudget(1 << 20);
  EXPECT_OK(BeginNow()->CheckIn());
  EXPECT_NE(store_.Load()->certificate_pem, first);
}

TEST_F(SessionTest, WhatTheDiskRefusedIsSavedAtALaterCheckIn) {
  auto life = BeginNow();
  files_.SetWriteBudget(0);
  daemon_.fleet_endpoint = ":7445";
  EXPECT_OK(life->CheckIn());
  EXPECT_EQ(life->session.identity().fleet_endpoint, ":7445");
  EXPECT_EQ(store_.Load()->fleet_endpoint, "");
  files_.SetWriteBudget(1 << 20);
  EXPECT_OK(life->CheckIn());
  EXPECT_EQ(store_.Load()->fleet_endpoint, ":7445");
}

TEST_F(SessionTest, OfflinePastExpiry) {
  daemon_.clock_.Advance(kDay * 30);
  auto life = BeginNow();
  ASSERT_TRUE(life->CheckIn().ok());
  EXPECT_EQ(daemon_.renewals, 1);
}

TEST_F(SessionTest, BootsIn1970) {
  daemon_.clock_.Advance(kDay);
  auto life = Begin(FromUnixMillis(86'400'000));
  ASSERT_TRUE(life->CheckIn().ok());
  EXPECT_EQ(life->clock.Now(), daemon_.clock_.Now());
  EXPECT_EQ(daemon_.renewals, 0);
}

TEST_F(SessionTest, BootsIn1970WithAnExpiredCertificate) {
  daemon_.clock_.Advance(kDay * 30);
  auto life = Begin(FromUnixMillis(86'400'000));
  ASSERT_TRUE(life->CheckIn().ok());
  EXPECT_EQ(daemon_.renewals, 1);
}

// A clock that was restored from the last shutdown, weeks ago: it is no earlier than anything that
// is known, and wrong.
TEST_F(SessionTest, ClockThatStoodStillWhileTheServerRenewed) {
  const Time stopped = daemon_.clock_.Now() + std::chrono::minutes(5);
  daemon_.clock_.Advance(kDay * 60);
  const trust::KeyPair key = trust::GenerateTlsKey();
  daemon_.server_chain_ =
      *daemon_.ca_.Issue(key.public_pem, {trust::Subject::Kind::kServer, "quantfleetd", "", {}, {}},
                         kDay * 90, daemon_.clock_) +
      daemon_.ca_.certificate_pem();
  auto life = Begin(stopped);
  ASSERT_TRUE(life->CheckIn().ok());
  EXPECT_EQ(daemon_.renewals, 1);
}

TEST_F(SessionTest, ServerWithAnExpiredCertificateIsNotBelieved) {
  const Time now = daemon_.clock_.Now() + kDay * 120;  // the server's certificate lives 90 days
  auto life = Begin(now);
  EXPECT_FALSE(life->CheckIn().ok());
  EXPECT_EQ(daemon_.check_ins, 0);
  EXPECT_EQ(life->clock.Now(), now)
      << "it must not turn the clock back to where its certificate was good";
}

TEST_F(SessionTest, ForeignDaemonIsNotBelieved) {
  FakeDaemon foreign;
  TrustedClock clock(daemon_.clock_);
  Session session(store_, foreign.connector(), clock, *store_.Load());
  EXPECT_FALSE(session.CheckIn({}).ok());
  EXPECT_EQ(foreign.check_ins + foreign.challenges, 0);
}

TEST_F(SessionTest, TimeIsKeptForTheNextBoot) {
  daemon_.clock_.Advance(kDay * 3);
  ASSERT_TRUE(BeginNow()->CheckIn().ok());
  EXPECT_EQ(store_.LastKnownTime(), daemon_.clock_.Now());
  auto life = Begin(daemon_.clock_.Now() - kDay);
  EXPECT_EQ(life->clock.ForValidity(), std::nullopt)
      << "a clock behind what was heard cannot be right";
  EXPECT_EQ(life->clock.Now(), daemon_.clock_.Now());
}

TEST_F(SessionTest, DaemonAwayIsUnavailableAndThenFine) {
  daemon_.away = true;
  auto life = BeginNow();
  EXPECT_EQ(life->CheckIn().code(), absl::StatusCode::kUnavailable);
  daemon_.away = false;
  EXPECT_TRUE(life->CheckIn().ok());
}

TEST_F(SessionTest, EarlyRenewalMayWait) {
  daemon_.clock_.Advance(kDay * 5);
  daemon_.spoil_identity = [](v1::Identity* identity) { identity->set_device_id("dev-2"); };
  auto life = BeginNow();
  EXPECT_TRUE(life->CheckIn().ok()) << "the old certificate is good for two more days";
}

TEST_F(SessionTest, RevokedIsPermissionDenied) {
  daemon_.revoked = true;
  EXPECT_EQ(BeginNow()->CheckIn().code(), absl::StatusCode::kPermissionDenied);
  daemon_.clock_.Advance(kDay * 30);
  EXPECT_EQ(BeginNow()->CheckIn().code(), absl::StatusCode::kPermissionDenied)
      << "also when its certificate expired";
}

TEST_F(SessionTest, StoppedIsCancelled) {
  auto life = BeginNow();
  ASSERT_TRUE(life->CheckIn().ok());
  life->session.Stop();
  EXPECT_EQ(life->CheckIn().code(), absl::StatusCode::kCancelled);
}

}  // namespace
}  // namespace quantfleet::agent
