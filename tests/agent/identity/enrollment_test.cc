#include "agent/identity/enrollment.h"

#include <gmock/gmock.h>

#include "common/base/retry_after.h"
#include "tests/agent/identity/fake_daemon.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/foreign_ca.h"
#include "tests/support/power_cuts.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace quantfleet::agent {
namespace {

using ::testing::HasSubstr;

class EnrollmentTest : public ::testing::Test {
 protected:
  absl::StatusOr<Enrollment> Enroll(const std::string& token,
                                    Time device_time = FromUnixMillis(1'800'000'000'000)) {
    EnrollmentRequest request;
    request.token = token;
    return Enroll(std::move(request), device_time);
  }
  absl::StatusOr<Enrollment> Enroll(EnrollmentRequest request,
                                    Time device_time = FromUnixMillis(1'800'000'000'000)) {
    ManualClock system(device_time);
    TrustedClock clock(system);
    request.server = "daemon:8443";
    request.agent_version = "0";
    return agent::Enroll(IdentityStore(files_, dir_.path()), daemon_.connector(), clock, random_,
                         request);
  }

  testing::FaultyFileSystem files_;
  testing::TempDir dir_;
  FakeDaemon daemon_;
  SeededRandom random_{9};
};

TEST_F(EnrollmentTest, KeyStaysIdentityComes) {
  const auto enrollment = Enroll(daemon_.Token());
  ASSERT_TRUE(enrollment.ok()) << enrollment.status();
  EXPECT_EQ(enrollment->identity.device_id, "dev-1");
  const auto loaded = IdentityStore(files_, dir_.path()).Load();
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->certificate_pem, enrollment->identity.certificate_pem);
  EXPECT_EQ(loaded->trust_root.SerializeAsString(),
            enrollment->identity.trust_root.SerializeAsString());
  EXPECT_EQ(loaded->server, "daemon:8443");
  EXPECT_EQ(EndpointAddress(loaded->server, loaded->blob_endpoint), "daemon:8443");
  EXPECT_EQ(fs::status(dir_ / "device.key").permissions(),
            fs::perms::owner_read | fs::perms::owner_write);
}

TEST_F(EnrollmentTest, TwiceIsOnce) {
  const std::string token = daemon_.Token();
  ASSERT_TRUE(Enroll(token).ok());
  const auto again = Enroll(token);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_TRUE(again->already_enrolled);
  EXPECT_EQ(daemon_.enrollments, 1);
}

// Killed after the call, before the save: the same key and the same request id go up again.
TEST_F(EnrollmentTest, LostAnswerIsAskedForAgainWithTheSameKeyAndRequest) {
  const std::string token = daemon_.Token();
  ASSERT_TRUE(Enroll(token).ok());
  fs::remove(dir_ / "identity.json");
  const auto again = Enroll(token);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_FALSE(again->already_enrolled);
  ASSERT_EQ(daemon_.request_ids.size(), 2u);
  EXPECT_EQ(daemon_.request_ids[0], daemon_.request_ids[1]);
  EXPECT_EQ(daemon_.keys[0], daemon_.keys[1]);
}

// What 0.1 began under enrolment.json is the same enrollment to the daemon.
TEST_F(EnrollmentTest, RequestIdOfTheOldSpellingIsTakenUp) {
  ASSERT_OK(files_.WriteAtomically(
      dir_ / "enrolment.json", AsBytes(R"({"server": "daemon:8443", "request_id": "enrol-77"})"),
      OpenMode::kPrivate));
  ASSERT_OK(Enroll(daemon_.Token()).status());
  EXPECT_EQ(daemon_.request_ids.at(0), "enrol-77");
}

TEST_F(EnrollmentTest, TokenOfAnotherDaemonIsNotSent) {
  FakeDaemon other;
  const auto enrollment = Enroll(other.Token());
  EXPECT_FALSE(enrollment.ok());
  EXPECT_EQ(daemon_.enrollments, 0);
  EXPECT_THAT(Message(enrollment.status()), HasSubstr("certificate"));
}

TEST_F(EnrollmentTest, EnrolledElsewhereIsSaid) {
  ASSERT_TRUE(Enroll(daemon_.Token()).ok());
  FakeDaemon other;
  const auto enrollment = Enroll(other.Token());
  EXPECT_EQ(enrollment.status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(EnrollmentTest, BootedIn1970) {
  EXPECT_TRUE(Enroll(daemon_.Token(), FromUnixMillis(86'400'000)).ok());
}

TEST_F(EnrollmentTest, ExpiredServerIsRefusedWhenTheClockIsGood) {
  EXPECT_FALSE(
      Enroll(daemon_.Token(), FromUnixMillis(1'800'000'000'000) + std::chrono::hours(24 * 365))
          .ok());
  EXPECT_EQ(daemon_.enrollments, 0);
}

TEST_F(EnrollmentTest, CertificateForAnotherKeyOrDeviceIsRefused) {
  daemon_.spoil_identity = [&](v1::Identity* identity) {
    const trust::KeyPair other = trust::GenerateTlsKey();
    identity->set_certificate_pem(
        *daemon_.ca_.Issue(other.public_pem, {trust::Subject::Kind::kDevice, "dev-1", "", {}, {}},
                           daemon_.lifetime, daemon_.clock_));
  };
  EXPECT_FALSE(Enroll(daemon_.Token()).ok());
  daemon_.spoil_identity = [](v1::Identity* identity) { identity->set_device_id("dev-2"); };
  EXPECT_FALSE(Enroll(daemon_.Token()).ok());
  EXPECT_FALSE(fs::exists(dir_ / "identity.json"));
}

TEST_F(EnrollmentTest, TrustRootOfAnotherCaIsRefused) {
  FakeDaemon other;
  daemon_.spoil_identity = [&](v1::Identity* identity) {
    identity->mutable_trust_root()->set_ca_pem(other.ca_.certificate_pem());
  };
  EXPECT_FALSE(Enroll(daemon_.Token()).ok());
  EXPECT_FALSE(fs::exists(dir_ / "identity.json"));
}

TEST_F(EnrollmentTest, DamagedTokenIsRefusedBeforeAnyCall) {
  EXPECT_FALSE(Enroll("qf1.nonsense").ok());
  EXPECT_EQ(daemon_.connections, 0);
}

TEST_F(EnrollmentTest, WithoutATokenTheCaIsKnownByItsFingerprint) {
  EnrollmentRequest request;
  EXPECT_THAT(Message(Enroll(request).status()), HasSubstr("--ca"));
  request.ca = FakeDaemon().ca_.fingerprint();
  EXPECT_FALSE(Enroll(request).ok());
  EXPECT_EQ(daemon_.enrollments, 0) << "nothing is said to a stranger";
  request.ca = daemon_.ca_.fingerprint();
  const auto enrollment = Enroll(request);
  ASSERT_TRUE(enrollment.ok()) << enrollment.status();
  EXPECT_EQ(daemon_.last_request.token(), "");
  EXPECT_TRUE(Enroll(request)->already_enrolled);
  request.token = FakeDaemon().Token();
  EXPECT_EQ(Enroll(request).status().code(), absl::StatusCode::kInvalidArgument) << "two CAs";
}

TEST_F(EnrollmentTest, ItsOwnCertificateIsProvenOverAChallengeAndThisRequest) {
  const testing::ForeignCa ca(daemon_.clock_);
  const testing::ForeignIdentity board = ca.Issue("board", testing::ForeignCa::Kind::kRsa);
  EnrollmentRequest request;
  request.ca = daemon_.ca_.fingerprint();
  request.certificate_pem = board.certificate_pem;
  request.certificate_key_pem = board.private_pem;
  ASSERT_TRUE(Enroll(request).ok());
  const v1::CustomerProof& customer = daemon_.last_request.customer();
  EXPECT_EQ(customer.certificate_pem(), board.certificate_pem);
  EXPECT_EQ(customer.nonce(), "nonce-1");
  const std::string message =
      trust::ProofMessage("Enroll", "nonce-1", daemon_.last_request.csr_pem());
  EXPECT_TRUE(
      trust::VerifyWithCertificate(board.certificate_pem, AsBytes(message), customer.proof()));
}

TEST_F(EnrollmentTest, TheKeyIsProvenOverAFreshChallengeAtEachAsk) {
  ASSERT_OK(Enroll(daemon_.Token()));
  const std::string first = daemon_.last_request.nonce();
  EXPECT_EQ(first, "nonce-1");
  EXPECT_FALSE(daemon_.last_request.proof().empty());
  fs::remove(dir_ / "identity.json");
  ASSERT_OK(Enroll(daemon_.Token()));
  EXPECT_EQ(daemon_.last_request.nonce(), "nonce-2");
}

TEST_F(EnrollmentTest, ATimeAfterTheCertificatesEndIsNotKept) {
  daemon_.time_lie = std::chrono::hours(24 * 4000);
  EXPECT_ERROR(Enroll(daemon_.Token()), kDataLoss, "expired");
  EXPECT_FALSE(fs::exists(dir_ / "clock.json"));
}

TEST_F(EnrollmentTest, ATrustRootWithoutKeysIsRefusedAtTheFirstContact) {
  daemon_.spoil_identity = [](v1::Identity* identity) {
    identity->mutable_trust_root()->clear_keys();
  };
  EXPECT_ERROR(Enroll(daemon_.Token()), kDataLoss, "trust root");
  daemon_.spoil_identity = [](v1::Identity* identity) {
    identity->mutable_trust_root()->mutable_keys(0)->set_key_id(std::string(64, '0'));
  };
  EXPECT_ERROR(Enroll(daemon_.Token()), kDataLoss, std::string(64, '0'));
}

TEST_F(EnrollmentTest, ARefusalKeepsItsRetryAfter) {
  daemon_.refuse = [](const v1::EnrollRequest&) {
    return WithRetryAfter(FailedPrecondition("waits"), Duration(700));
  };
  const auto waiting = Enroll(daemon_.Token());
  EXPECT_EQ(waiting.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(RetryAfter(waiting.status()), Duration(700));
  daemon_.refuse = nullptr;
  ASSERT_TRUE(Enroll(daemon_.Token()).ok());
  EXPECT_EQ(daemon_.request_ids[0], daemon_.request_ids[1]);
}

// Wherever the power goes, the device is enrolled or not yet, has the key that it was enrolled
// with, and asks again under the same request.
TEST(IdentityStoreTest, APowerCutLeavesAnIdentityWholeOrAbsent) {
  v1::TrustRoot root_of_trust;
  root_of_trust.set_version(3);
  std::string key, request;  // as they were told
  SeededRandom random{7};
  const auto enroll = [&](const IdentityStore& store) -> absl::Status {
    QF_ASSIGN_OR_RETURN(key, store.DeviceKey());
    QF_ASSIGN_OR_RETURN(request, store.RequestId("daemon:8443", random));
    QF_RETURN_IF_ERROR(store.SaveTime(FromUnixMillis(1'800'000'000'000)));
    return store.Save({.device_id = "dev-1",
                       .device_class = "iot",
                       .certificate_pem = "certificate",
                       .private_pem = key,
                       .trust_root = root_of_trust,
                       .server = "daemon:8443",
                       .blob_endpoint = ":8444"});
  };
  const auto changes = testing::CutPowerAtEachChange({
      .act =
          [&](FileSystem& files, const fs::path& root) {
            key.clear(), request.clear();
            std::ignore = enroll(IdentityStore(files, root));
          },
      .check =
          [&](FileSystem& files, const fs::path& root, bool done) {
            const IdentityStore store(files, root);
            const auto loaded = store.Load();
            EXPECT_TRUE(loaded.ok() || (!done && absl::IsNotFound(loaded.status())))
                << loaded.status();
            if (loaded.ok()) {
              EXPECT_EQ(loaded->private_pem, key);
              EXPECT_EQ(loaded->trust_root.version(), 3u);
            }
            if (!key.empty()) {
              EXPECT_EQ(store.DeviceKey().value(), key);
            }
            if (!request.empty()) {
              EXPECT_EQ(store.RequestId("daemon:8443", random).value(), request);
            }
            EXPECT_TRUE(store.LastKnownTime() || !done);
            ASSERT_OK(enroll(store));
            EXPECT_OK(store.Load().status());
          },
  });
  EXPECT_GT(changes, 20);
}

}  // namespace
}  // namespace quantfleet::agent
