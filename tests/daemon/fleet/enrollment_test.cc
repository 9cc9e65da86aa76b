#include <soci/soci.h>

#include "common/base/retry_after.h"
#include "tests/daemon/fleet/fleet_fixture.h"
#include "tests/daemon/store/once.h"
#include "tests/support/status_matchers.h"

namespace quantfleet::daemon {
namespace {

using testing::Names;

TEST_F(FleetFixture, EnrolledDeviceGetsCertificateClassAndLabels) {
  FakeDevice device("iot");
  Fleet::TokenRequest request;
  request.labels = {{"site", "lab"}};
  const auto identity = Enroll(device, Token(request));
  ASSERT_OK(identity.status());
  EXPECT_EQ(identity->device_class, "iot-int4");
  const auto info = trust::ReadCertificate(identity->certificate_pem);
  ASSERT_OK(info.status());
  EXPECT_EQ(info->subject.kind, trust::Subject::Kind::kDevice);
  EXPECT_EQ(info->subject.id, identity->device_id);
  EXPECT_EQ(info->public_key, *trust::PublicKeyDigest(device.key.public_pem));
  const auto stored = Once(*store_)->devices().Get(identity->device_id);
  ASSERT_OK(stored.status());
  EXPECT_EQ(stored->labels().at("site"), "lab");
  EXPECT_EQ(stored->certificate_expires_ms(), ToUnixMillis(info->not_after));
  EXPECT_THAT(stored->class_reason(), Names("edge-fp16", "form edge"));
  EXPECT_OK(Authenticate(*info).status());
}

TEST_F(FleetFixture, LabelsOfTheTokenDecideTheClass) {
  ASSERT_OK(
      classes_
          .Apply(
              "name='lab'\nformat='gguf'\nrecipe='f32'\npriority=99\n[match.labels]\nsite='lab'\n")
          .status());
  Fleet::TokenRequest request;
  request.labels = {{"site", "lab"}};
  EXPECT_EQ(Enroll(FakeDevice(), Token(request))->device_class, "lab");
  EXPECT_EQ(Enroll(FakeDevice(), Token())->device_class, "iot-int4");
}

TEST_F(FleetFixture, NoClassFitsIsNoReasonToRefuse) {
  const auto identity = Enroll(FakeDevice("toaster", 64), Token());
  ASSERT_OK(identity.status());
  EXPECT_EQ(identity->device_class, "");
  EXPECT_THAT(Once(*store_)->devices().Get(identity->device_id)->class_reason(),
              Names("iot-int4", "toaster"));
}

TEST_F(FleetFixture, SameKeyIsTheSameDeviceAndCountsOnce) {
  FakeDevice device;
  Fleet::TokenRequest request;
  request.max_uses = 1;
  const std::string token = Token(request);
  const auto first = Enroll(device, token), second = Enroll(device, token);
  ASSERT_OK(first.status());
  ASSERT_OK(second.status());
  EXPECT_EQ(first->device_id, second->device_id);
  EXPECT_EQ(Once(*store_)->tokens().List()->front().uses(), 1u);
  EXPECT_ERROR(Enroll(FakeDevice(), token), kPermissionDenied, "used up");
}

TEST_F(FleetFixture, BadTokensAreRefused) {
  const FakeDevice device;
  EXPECT_ERROR(Enroll(device, "rubbish"), kUnauthenticated, "quantfleet token create");
  trust::ClaimToken unknown = trust::ClaimToken::Make(random_, authority_->ca_fingerprint());
  EXPECT_ERROR(Enroll(device, unknown.ToString()), kUnauthenticated, "not valid");
  trust::ClaimToken guessed = *trust::ClaimToken::Parse(Token());
  guessed.secret[0] ^= 1;
  EXPECT_ERROR(Enroll(device, guessed.ToString()), kUnauthenticated, "not valid");
  trust::ClaimToken foreign = *trust::ClaimToken::Parse(Token());
  foreign.ca_fingerprint.bytes[0] ^= std::byte{1};
  EXPECT_ERROR(Enroll(device, foreign.ToString()), kUnauthenticated, "another daemon");

  Fleet::TokenRequest request;
  request.ttl_seconds = 60;
  const std::string expiring = Token(request), revoked = Token();
  clock_.Advance(std::chrono::seconds(61));
  EXPECT_ERROR(Enroll(device, expiring), kPermissionDenied, "expired");
  ASSERT_OK(fleet_.RevokeToken(trust::ClaimToken::Parse(revoked)->id).status());
  EXPECT_ERROR(Enroll(device, revoked), kPermissionDenied, "revoked");
  EXPECT_TRUE(Once(*store_)->devices().List("", 10)->empty());
  EXPECT_EQ(fleet_.counters().enrollments_refused, 6u);
}

TEST_F(FleetFixture, CsrAndFactsAreChecked) {
  FakeDevice device;
  std::string csr = device.csr;
  device.csr = "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n";
  EXPECT_ERROR(Enroll(device, Token()), kInvalidArgument, "csr_pem");
  device.csr = csr;
  device.facts.set_cpu_model(std::string(300, 'x'));
  EXPECT_ERROR(Enroll(device, Token()), kInvalidArgument, "facts.cpu_model");
  device.facts.set_cpu_model("x");
  for (int i = 0; i < 200; ++i) device.facts.add_runtimes("r");
  EXPECT_ERROR(Enroll(device, Token()), kInvalidArgument, "facts.runtimes");
}

TEST_F(FleetFixture, RevokedDeviceGetsNothingMore) {
  FakeDevice device;
  const auto identity = Enrolled(device);
  ASSERT_OK(Revoke(device.id).status());
  EXPECT_ERROR(Authenticate(*trust::ReadCertificate(identity.certificate_pem)), kPermissionDenied,
               "revoked");
  EXPECT_ERROR(Enroll(device, Token()), kPermissionDenied, "revoked");
  EXPECT_ERROR(CheckIn(device.id, "", nullptr, {}), kPermissionDenied, "revoked");
  const std::string nonce = fleet_.MakeChallenge(device.id);
  const auto proof = trust::SignWithTlsKey(device.key.private_pem,
                                           AsBytes(Fleet::RenewalMessage(nonce, device.csr)));
  EXPECT_ERROR(fleet_.Renew(device.id, device.csr, nonce, *proof), kPermissionDenied, "revoked");
}

TEST_F(FleetFixture, CertificateOfAnotherKeyOrKindIsRefused) {
  FakeDevice device;
  Enrolled(device);
  const FakeDevice thief;
  const auto stolen_id =
      authority_->IssueDevice(thief.key.public_pem, device.id, std::chrono::hours(1));
  EXPECT_ERROR(Authenticate(*trust::ReadCertificate(*stolen_id)), kUnauthenticated, "another key");
  const auto stranger =
      authority_->IssueDevice(thief.key.public_pem, "d-0000000000000000", std::chrono::hours(1));
  EXPECT_ERROR(Authenticate(*trust::ReadCertificate(*stranger)), kUnauthenticated, "enroll again");
  const auto admin =
      authority_->IssueOperator(thief.key.public_pem, "eve", "admin", std::chrono::hours(1));
  EXPECT_ERROR(Authenticate(*trust::ReadCertificate(*admin)), kUnauthenticated,
               "device's certificate");
}

class Renewal : public FleetFixture {
 protected:
  Renewal() { Enrolled(device_); }
  absl::StatusOr<Fleet::Issued> Renew(const std::string& nonce) {
    const auto proof = trust::SignWithTlsKey(device_.key.private_pem,
                                             AsBytes(Fleet::RenewalMessage(nonce, device_.csr)));
    return fleet_.Renew(device_.id, device_.csr, nonce, *proof);
  }
  FakeDevice device_;
};

TEST_F(Renewal, WorksLongAfterTheCertificateExpired) {
  clock_.Advance(std::chrono::hours(24 * 60));
  const auto renewed = Renew(fleet_.MakeChallenge(device_.id));
  ASSERT_OK(renewed.status());
  EXPECT_EQ(renewed->device_id, device_.id);
  const auto info = trust::ReadCertificate(renewed->certificate_pem);
  EXPECT_GT(info->not_after, clock_.Now());
  EXPECT_EQ(Once(*store_)->devices().Get(device_.id)->certificate_expires_ms(),
            ToUnixMillis(info->not_after));
}

TEST_F(Renewal, NonceIsGoodOnceAndForFiveMinutesAndForItsDevice) {
  const std::string nonce = fleet_.MakeChallenge(device_.id);
  ASSERT_OK(Renew(nonce).status());
  EXPECT_ERROR(Renew(nonce), kUnauthenticated, "already used");
  const std::string late = fleet_.MakeChallenge(device_.id);
  clock_.Advance(ChallengeBook::kLifetime + Duration(1));
  EXPECT_ERROR(Renew(late), kUnauthenticated, "expired");
  EXPECT_ERROR(Renew(fleet_.MakeChallenge("d-other")), kUnauthenticated, "this device");
  std::string bent = fleet_.MakeChallenge(device_.id);
  bent.back() ^= 1;
  EXPECT_ERROR(Renew(bent), kUnauthenticated, "challenge");
  EXPECT_ERROR(Renew(""), kUnauthenticated, "challenge");
}

TEST_F(Renewal, ProofMustBeOfTheEnrolledKeyOverThisRequest) {
  const FakeDevice other;
  const std::string nonce = fleet_.MakeChallenge(device_.id);
  const std::string message = Fleet::RenewalMessage(nonce, device_.csr);
  const auto by_other = trust::SignWithTlsKey(other.key.private_pem, AsBytes(message));
  EXPECT_ERROR(fleet_.Renew(device_.id, device_.csr, nonce, *by_other), kUnauthenticated, "proof");
  const auto other_csr = trust::SignWithTlsKey(other.key.private_pem,
                                               AsBytes(Fleet::RenewalMessage(nonce, other.csr)));
  EXPECT_ERROR(fleet_.Renew(device_.id, other.csr, nonce, *other_csr), kUnauthenticated,
               "another key");
  EXPECT_ERROR(fleet_.Renew("d-none", device_.csr, fleet_.MakeChallenge("d-none"), "x"), kNotFound,
               "enroll again");
  EXPECT_OK(Renew(nonce).status());  // failures above did not use it up
}

TEST_F(FleetFixture, TokenRequestIsAnsweredOnce) {
  Fleet::TokenRequest request;
  request.request_id = "r1";
  const auto first = fleet_.CreateToken(request), again = fleet_.CreateToken(request);
  ASSERT_OK(first.status());
  ASSERT_OK(again.status());
  EXPECT_EQ(first->secret, again->secret);
  EXPECT_EQ(Once(*store_)->tokens().List()->size(), 1u);
  clock_.Advance(std::chrono::minutes(11));
  EXPECT_ERROR(fleet_.CreateToken(request), kAlreadyExists, "request_id");
  request.request_id.clear();
  request.ttl_seconds = -1;
  EXPECT_ERROR(fleet_.CreateToken(request), kInvalidArgument, "ttl_seconds");
}

TEST_F(FleetFixture, ALongExplanationIsCutAndTheStateCounts) {
  FakeDevice device("iot");
  Enrolled(device);
  v1::ModelStatus status;
  status.set_model("demo");
  status.set_phase(v1::ModelStatus::FAILED);
  status.set_detail("\x1b[2J" + std::string(100'000, 'x'));
  status.add_stepped_down()->set_detail(std::string(100'000, 'y'));
  const auto seen = CheckIn(device.id, "", nullptr, {status});
  ASSERT_OK(seen);
  EXPECT_EQ(seen->models(0).phase(), v1::ModelStatus::FAILED);
  EXPECT_LT(seen->models(0).detail().size(), 2000u);
  EXPECT_EQ(seen->models(0).detail().substr(0, 8), "\\x1b[2Jx");
  EXPECT_LT(seen->models(0).stepped_down(0).detail().size(), 2000u);
  status.set_detail(std::string(1 << 20, 'x'));
  EXPECT_ERROR(CheckIn(device.id, "", nullptr, {status}), kInvalidArgument, "maximum");
  v1::HardwareFacts facts;
  for (int i = 0; i < 120; ++i) facts.add_accelerators(std::string(250, 'a'));
  for (int i = 0; i < 120; ++i) facts.add_runtimes(std::string(250, 'a'));
  EXPECT_ERROR(CheckIn(device.id, "", &facts, {}), kInvalidArgument, "facts");
}

TEST_F(FleetFixture, AnAddressThatIsRefusedAgainAndAgainIsPutOff) {
  const std::string good = Token();
  const auto ask = [&](const std::string& token, const std::string& address) {
    Fleet::Applicant applicant = Asking(FakeDevice(), token);
    applicant.address = address;
    return fleet_.Enroll(applicant).status();
  };
  const std::string bad = trust::ClaimToken::Make(random_, authority_->ca_fingerprint()).ToString();
  for (int i = 0; i < RefusalBook::kMost; ++i)
    ASSERT_EQ(ask(bad, "ipv4:192.0.2.1").code(), absl::StatusCode::kUnauthenticated);
  const absl::Status put_off = ask(good, "ipv4:192.0.2.1");
  EXPECT_EQ(put_off.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(RetryAfter(put_off).has_value());
  EXPECT_OK(ask(good, "ipv4:192.0.2.2"));
  clock_.Advance(RefusalBook::kPeriod);
  EXPECT_OK(ask(good, "ipv4:192.0.2.1"));
}

TEST_F(FleetFixture, ADeviceWhoseRecordIsDamagedCanBeRevoked) {
  FakeDevice device("iot");
  Enrolled(device);
  {
    soci::session sql("sqlite3", "db=" + (dir_ / "state.db").string());
    sql << "UPDATE devices SET record = 'CgX_'";
  }
  EXPECT_EQ(Once(*store_)->devices().Get(device.id).status().code(), absl::StatusCode::kDataLoss);
  ASSERT_OK(Revoke(device.id));
  EXPECT_EQ(Once(*store_)->devices().Get(device.id)->state(), v1::Device::REVOKED);
}

TEST_F(FleetFixture, CheckInUpdatesFactsStatusesAndClass) {
  FakeDevice device("iot");
  Enrolled(device);
  clock_.Advance(std::chrono::minutes(1));
  v1::ModelStatus status;
  status.set_model("demo");
  status.set_phase(v1::ModelStatus::DOWNLOADING);
  FakeDevice grown("edge", 32768);
  const auto seen = CheckIn(device.id, "2.0", &grown.facts, {status});
  ASSERT_OK(seen.status());
  EXPECT_EQ(seen->device_class(), "edge-fp16");
  const auto stored = Once(*store_)->devices().Get(device.id);
  EXPECT_EQ(stored->agent_version(), "2.0");
  EXPECT_EQ(stored->models().size(), 1);
  EXPECT_EQ(stored->last_seen_ms(), ToUnixMillis(clock_.Now()));
  // Facts unset: as before. And an applied class counts at the next check-in.
  ASSERT_OK(classes_.Apply("name='all'\nformat='gguf'\nrecipe='f32'\npriority=99\n").status());
  EXPECT_EQ(CheckIn(device.id, "", nullptr, {})->device_class(), "all");
  EXPECT_EQ(Once(*store_)->devices().Get(device.id)->facts().form(), "edge");
  EXPECT_ERROR(CheckIn(device.id, "", nullptr, {status, status}), kInvalidArgument, "models");
  EXPECT_ERROR(CheckIn("d-none", "", nullptr, {}), kNotFound, "d-none");
}

TEST_F(FleetFixture, AppliedClassOutlivesSeeding) {
  ASSERT_OK(classes_.Apply("name='iot-int4'\nformat='gguf'\nrecipe='q8_0'\n").status());
  ASSERT_OK(classes_.SeedShipped());
  EXPECT_EQ(Once(*store_)->classes().Get("iot-int4")->recipe(), "q8_0");
  EXPECT_FALSE(Once(*store_)->classes().Get("iot-int4")->shipped());
  EXPECT_TRUE(Once(*store_)->classes().Get("edge-fp16")->shipped());
  EXPECT_EQ(Once(*store_)->classes().List()->size(), ShippedClasses().size());
  EXPECT_ERROR(classes_.Apply("name='x'\n"), kInvalidArgument, "format");
  EXPECT_ERROR(classes_.Apply("name='x'\nformat='gguf'\nrecipe='q4_k_x'\n"), kInvalidArgument,
               "class x", "'gguf:q4_k_x'");
  EXPECT_ERROR(classes_.Apply("name='x'\nformat='tar'\nrecipe='q4_0'\n"), kInvalidArgument,
               "'tar:q4_0'");
  EXPECT_ERROR(Once(*store_)->classes().Get("x"), kNotFound, "x");
  for (const char* recipe :
       {"q4_k_s", "q4_k_m", "q5_k_s", "q5_k_m", "q6_k", "q4_1", "q5_0", "q5_1"})
    EXPECT_OK(classes_.Apply(fmt::format("name='x'\nformat='gguf'\nrecipe='{}'\n", recipe)));
}

}  // namespace
}  // namespace quantfleet::daemon
