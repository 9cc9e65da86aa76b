// Who asks to enroll, and who only repeats what a device once sent: a CSR is no secret, and good
// for ever.
#include "common/base/retry_after.h"
#include "tests/daemon/fleet/fleet_fixture.h"
#include "tests/daemon/store/once.h"

namespace quantfleet::daemon {
namespace {

Fleet::Options WithQueue() {
  Fleet::Options options;
  options.queue = 4;
  return options;
}

class ProofTest : public FleetFixture {
 protected:
  ProofTest() : FleetFixture(WithQueue()) {}
  std::string Stored(const FakeDevice& device) {
    return Once(*store_)->devices().Get(device.id)->SerializeAsString();
  }
  std::string Waiting() {
    const auto pending = Pending();
    EXPECT_OK(pending);
    std::string all;
    if (pending.ok())
      for (const v1::PendingDevice& device : *pending) all += device.SerializeAsString();
    return all;
  }
  std::string LabelledToken(Fleet::TokenRequest request = {}) {
    request.labels = {{"site", "thief"}};
    request.device_class = "edge-fp16";
    return Token(request);
  }
  // What somebody writes who has seen the device's CSR.
  static FakeDevice Copy(const FakeDevice& device) {
    FakeDevice copy = device;
    copy.facts.set_form("edge");
    copy.facts.set_memory_total_bytes(uint64_t{64} << 30);
    copy.facts.set_hardware_id("lie");
    return copy;
  }
};

TEST_F(ProofTest, ACapturedCsrChangesNothingOfAnEnrolledDevice) {
  FakeDevice device;
  Enrolled(device);
  ASSERT_OK(fleet_.Label(device.id, {{"site", "lab"}}, {}));
  const std::string before = Stored(device), token = LabelledToken();
  clock_.Advance(std::chrono::hours(1));
  for (const std::string& with : {std::string(), token, std::string("rubbish")}) {
    const auto answer = EnrollUnproven(Copy(device), with);
    ASSERT_OK(answer);
    EXPECT_EQ(answer->device_id, device.id);
    EXPECT_EQ(answer->device_class, "iot-int4");
    EXPECT_EQ(trust::ReadCertificate(answer->certificate_pem)->public_key,
              *trust::PublicKeyDigest(device.key.public_pem))
        << "of use to the device alone";
    EXPECT_EQ(Stored(device), before);
  }
  EXPECT_EQ(Once(*store_)->tokens().Get(trust::ClaimToken::Parse(token)->id)->uses(), 0u);
}

TEST_F(ProofTest, ACapturedRequestIsRefusedTheSecondTime) {
  const FakeDevice device;
  const Fleet::Applicant first = Asking(device, Token());
  ASSERT_OK(fleet_.Enroll(first));
  const std::string before = Stored(device);
  Fleet::Applicant changed = first;
  changed.facts = Copy(device).facts;
  for (const Fleet::Applicant& replay : {first, changed})
    EXPECT_ERROR(fleet_.Enroll(replay), kUnauthenticated, "challenge");
  EXPECT_EQ(Stored(device), before);
  clock_.Advance(ChallengeBook::kLifetime + Duration(1));
  EXPECT_ERROR(fleet_.Enroll(first), kUnauthenticated, "expired");
}

TEST_F(ProofTest, AProofOfAnotherKeyRequestOrDeviceIsRefused) {
  FakeDevice device, other;
  Enrolled(device);
  const std::string before = Stored(device);
  Fleet::Applicant by_other = Asking(device);
  by_other.proof->proof =
      trust::SignWithTlsKey(other.key.private_pem,
                            AsBytes(Fleet::EnrollmentMessage(by_other.proof->nonce, device.csr)))
          .value();
  EXPECT_ERROR(fleet_.Enroll(by_other), kUnauthenticated, device.id);
  Fleet::Applicant of_other = Asking(other);
  of_other.csr_pem = device.csr;
  EXPECT_ERROR(fleet_.Enroll(of_other), kUnauthenticated, "this device");
  Fleet::Applicant another_csr = Asking(device);
  another_csr.csr_pem = trust::MakeCsr(device.key.private_pem, "another").value();
  EXPECT_ERROR(fleet_.Enroll(another_csr), kUnauthenticated, "proof");
  // What the device signed to renew is no proof that it enrolls, nor the other way round.
  Fleet::Applicant renewing = Asking(device);
  renewing.proof->proof =
      trust::SignWithTlsKey(device.key.private_pem,
                            AsBytes(Fleet::RenewalMessage(renewing.proof->nonce, device.csr)))
          .value();
  EXPECT_ERROR(fleet_.Enroll(renewing), kUnauthenticated, "proof");
  const Fleet::Applicant enrolling = Asking(device);
  EXPECT_ERROR(fleet_.Renew(device.id, device.csr, enrolling.proof->nonce, enrolling.proof->proof),
               kUnauthenticated, "proof");
  for (const auto& [nonce, proof] : {std::pair<std::string, std::string>{"", "x"}, {"x", ""}}) {
    Fleet::Applicant half = Asking(device);
    half.proof = Fleet::KeyProof{nonce, proof};
    EXPECT_ERROR(fleet_.Enroll(half), kUnauthenticated, "challenge");
  }
  Fleet::Applicant long_proof = Asking(device);
  long_proof.proof->proof.resize(3 << 10);
  EXPECT_ERROR(fleet_.Enroll(long_proof), kInvalidArgument, "proof");
  EXPECT_EQ(Stored(device), before);
}

TEST_F(ProofTest, TheDeviceItselfTellsAnewWhatItIs) {
  FakeDevice device;
  Enrolled(device);
  device.facts.set_form("edge");
  device.facts.set_memory_total_bytes(uint64_t{32} << 30);
  const auto again = Enroll(device, LabelledToken());
  ASSERT_OK(again);
  EXPECT_EQ(again->device_class, "edge-fp16");
  EXPECT_EQ(Once(*store_)->devices().Get(device.id)->facts().form(), "edge");
  EXPECT_EQ(Once(*store_)->devices().Get(device.id)->labels().at("site"), "thief");
}

// Agents of before.
TEST_F(ProofTest, WithoutAProofADeviceStillComesInForTheFirstTime) {
  const FakeDevice by_token, by_list, by_operator;
  EXPECT_OK(EnrollUnproven(by_token, Token()));
  v1::AllowedDevice entry;
  entry.set_device_id(by_list.id);
  ASSERT_OK(fleet_.Allow({entry}));
  EXPECT_OK(EnrollUnproven(by_list));
  EXPECT_ERROR(EnrollUnproven(by_operator), kFailedPrecondition, "admits");
  EXPECT_EQ(RetryAfter(EnrollUnproven(by_operator).status()), fleet_.check_in());
  ASSERT_OK(Approve(by_operator.id));
  EXPECT_OK(EnrollUnproven(by_operator));
  for (const FakeDevice& device : {by_token, by_list, by_operator})
    EXPECT_EQ(Once(*store_)->devices().Get(device.id)->agent_version(), "other");
}

TEST_F(ProofTest, AnUnprovenAskChangesNothingOfOneThatWaits) {
  const FakeDevice device;
  EXPECT_ERROR(Enroll(device), kFailedPrecondition, "admits");
  const std::string before = Waiting();
  Fleet::TokenRequest approval;
  approval.approval = true;
  clock_.Advance(std::chrono::minutes(30));
  EXPECT_ERROR(EnrollUnproven(Copy(device)), kFailedPrecondition, "admits");
  EXPECT_ERROR(EnrollUnproven(Copy(device), LabelledToken(approval)), kFailedPrecondition,
               "admits");
  EXPECT_EQ(Waiting(), before) << "nor is it kept waiting by it";
  const Fleet::Applicant asked = Asking(device);
  EXPECT_ERROR(fleet_.Enroll(asked), kFailedPrecondition, "waits");
  const std::string after = Waiting();
  EXPECT_NE(after, before);
  Fleet::Applicant replay = asked;
  replay.agent_version = "another";
  EXPECT_ERROR(fleet_.Enroll(replay), kUnauthenticated, "already used");
  EXPECT_EQ(Waiting(), after);
  ASSERT_OK(Approve(device.id));
  EXPECT_ERROR(fleet_.Enroll(asked), kUnauthenticated, "already used");
  EXPECT_EQ(Once(*store_)->devices().Get(device.id)->facts().form(), "iot");
}

TEST_F(ProofTest, ARevokedOrRejectedKeyIsRefusedWithOrWithoutAProof) {
  FakeDevice device;
  const FakeDevice stranger;
  Enrolled(device);
  ASSERT_OK(Revoke(device.id));
  EXPECT_ERROR(Enroll(stranger), kFailedPrecondition, "waits");
  ASSERT_OK(fleet_.Reject(stranger.id));
  for (const FakeDevice& out : {device, stranger}) {
    const std::string before = Stored(out);
    EXPECT_ERROR(Enroll(out, Token()), kPermissionDenied, "new key");
    EXPECT_ERROR(EnrollUnproven(out, Token()), kPermissionDenied, "new key");
    EXPECT_EQ(Stored(out), before);
  }
}

// The machine was set up anew with another key; the old key's CSR must not undo that, nor show as
// alive.
TEST_F(ProofTest, ACapturedCsrOfAReplacedDeviceIsRefused) {
  FakeDevice old, anew;
  old.facts.set_hardware_id("board-1");
  anew.facts.set_hardware_id("board-1");
  Enrolled(old);
  EXPECT_ERROR(Enroll(anew, Token()), kFailedPrecondition, old.id);
  EXPECT_EQ(Approve(anew.id)->revoked, old.id);
  const std::string before = Stored(anew);
  EXPECT_ERROR(EnrollUnproven(old, Token()), kPermissionDenied, "revoked");
  EXPECT_OK(EnrollUnproven(Copy(anew)));
  EXPECT_EQ(Stored(anew), before);
}

TEST_F(ProofTest, ATokensRateIsSpentOnceByADeviceThatAsksAgain) {
  Fleet::TokenRequest request;
  request.rate_per_hour = 1;
  const std::string token = Token(request);
  const FakeDevice first, second;
  ASSERT_OK(Enroll(first, token));
  EXPECT_ERROR(Enroll(second, token), kResourceExhausted, "hour");
  EXPECT_OK(Enroll(first, token));
  EXPECT_OK(EnrollUnproven(first, token));
  EXPECT_EQ(Once(*store_)->tokens().Get(trust::ClaimToken::Parse(token)->id)->uses(), 1u);
}

}  // namespace
}  // namespace quantfleet::daemon
