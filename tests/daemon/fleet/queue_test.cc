// Devices that wait for an operator.
#include "common/base/retry_after.h"
#include "tests/daemon/fleet/fleet_fixture.h"
#include "tests/daemon/store/once.h"

namespace quantfleet::daemon {
namespace {

using ::testing::HasSubstr;

Fleet::Options SmallQueue() {
  Fleet::Options options;
  options.queue = 2;
  return options;
}

class QueueTest : public FleetFixture {
 protected:
  QueueTest() : FleetFixture(SmallQueue()) {}
  static FakeDevice On(const std::string& hardware) {
    FakeDevice device;
    device.facts.set_hardware_id(hardware);
    return device;
  }
  std::string WaitsByToken(const FakeDevice& device) {
    Fleet::TokenRequest request;
    request.approval = true;
    request.labels = {{"site", "lab"}};
    const std::string token = Token(request);
    EXPECT_ERROR(Enroll(device, token), kFailedPrecondition, "approval");
    return token;
  }
};

TEST_F(QueueTest, AnUnknownDeviceWaitsAndIsLetIn) {
  const FakeDevice device("iot");
  const auto waiting = Enroll(device);
  EXPECT_ERROR(waiting, kFailedPrecondition, "quantfleet device approve " + device.id);
  EXPECT_EQ(RetryAfter(waiting.status()), fleet_.check_in());
  clock_.Advance(std::chrono::minutes(1));
  EXPECT_ERROR(Enroll(device), kFailedPrecondition, "admits");
  const auto pending = Pending();
  ASSERT_OK(pending);
  ASSERT_EQ(pending->size(), 1u) << "the same key is the same request";
  EXPECT_EQ(pending->front().device_id(), device.id);
  EXPECT_EQ(pending->front().public_key(), trust::PublicKeyDigest(device.key.public_pem)->raw());
  EXPECT_EQ(pending->front().asked_ms(), ToUnixMillis(clock_.Now()) - 60'000);
  EXPECT_EQ(pending->front().facts().form(), "iot");

  const auto approved = Approve(device.id);
  ASSERT_OK(approved);
  EXPECT_EQ(approved->device.state(), v1::Device::ACTIVE);
  EXPECT_EQ(approved->device.admitted_by(), "operator");
  EXPECT_EQ(approved->device.device_class(), "iot-int4");
  EXPECT_EQ(approved->revoked, "");
  EXPECT_OK(Approve(device.id)) << "what was asked for already is no error";
  const auto identity = Enroll(device);
  ASSERT_OK(identity);
  EXPECT_OK(Authenticate(*trust::ReadCertificate(identity->certificate_pem)));
  EXPECT_TRUE(Pending()->empty());
}

TEST_F(FleetFixture, UnknownDevicesAreRefusedWhereNoneMayWait) {
  EXPECT_ERROR(Enroll(FakeDevice()), kPermissionDenied, "--enrollment-queue");
  EXPECT_EQ(RetryAfter(Enroll(FakeDevice()).status()), std::nullopt);
  EXPECT_TRUE(Pending()->empty());
}

TEST_F(QueueTest, ARejectedKeyIsRefusedFromThenOnByEveryWay) {
  const FakeDevice device;
  EXPECT_ERROR(Enroll(device), kFailedPrecondition, "waits");
  ASSERT_OK(fleet_.Reject(device.id));
  EXPECT_OK(fleet_.Reject(device.id));
  EXPECT_ERROR(Enroll(device), kPermissionDenied, "new key");
  EXPECT_ERROR(Enroll(device, Token()), kPermissionDenied, "new key");
  EXPECT_ERROR(Approve(device.id), kNotFound, "device pending");
  EXPECT_ERROR(fleet_.Reject("d-none"), kNotFound, "device pending");
  FakeDevice in;
  Enrolled(in);
  EXPECT_ERROR(fleet_.Reject(in.id), kFailedPrecondition, "device revoke");
}

TEST_F(QueueTest, AllowingOneThatWaitsLetsItIn) {
  const FakeDevice device;
  EXPECT_ERROR(Enroll(device), kFailedPrecondition, "waits");
  v1::AllowedDevice entry;
  entry.set_device_id(device.id);
  ASSERT_OK(fleet_.Allow({entry}));
  EXPECT_OK(Enroll(device));
  EXPECT_TRUE(Pending()->empty());
}

TEST_F(QueueTest, TheQueueIsBoundedAndForgetsWhoStaysAway) {
  const FakeDevice first, second, third;
  EXPECT_ERROR(Enroll(first), kFailedPrecondition, "waits");
  EXPECT_ERROR(Enroll(second), kFailedPrecondition, "waits");
  const auto full = Enroll(third);
  EXPECT_ERROR(full, kResourceExhausted, "2 devices");
  EXPECT_TRUE(RetryAfter(full.status()).has_value());
  WaitsByToken(third);  // who is vouched for has a place
  clock_.Advance(std::chrono::hours(20));
  EXPECT_ERROR(Enroll(second), kFailedPrecondition, "waits");
  clock_.Advance(std::chrono::hours(5));
  const auto pending = Pending();
  ASSERT_EQ(pending->size(), 1u);
  EXPECT_EQ(pending->front().device_id(), second.id);
  EXPECT_ERROR(Enroll(first), kFailedPrecondition, "waits");
}

Fleet::Options LargeQueue() {
  Fleet::Options options;
  options.queue = 1000;
  return options;
}
class LargeQueueTest : public FleetFixture {
 protected:
  LargeQueueTest() : FleetFixture(LargeQueue()) {}
};

TEST_F(LargeQueueTest, StrangersComeAtABoundedPaceAndWithFewWords) {
  for (int i = 0; i < 60; ++i) EXPECT_ERROR(Enroll(FakeDevice()), kFailedPrecondition, "waits");
  const FakeDevice late;
  const auto refused = Enroll(late);
  EXPECT_ERROR(refused, kResourceExhausted, "unknown devices");
  EXPECT_TRUE(RetryAfter(refused.status()).has_value());
  clock_.Advance(std::chrono::minutes(1));
  EXPECT_ERROR(Enroll(late), kFailedPrecondition, "waits");
  FakeDevice talker;
  for (int i = 0; i < 100; ++i) talker.facts.add_runtimes(std::string(200, 'x'));
  EXPECT_ERROR(Enroll(talker), kInvalidArgument, "bytes");
}

TEST_F(QueueTest, ATokenMayAskForApproval) {
  const FakeDevice device;
  const std::string token = WaitsByToken(device);
  const std::string id = trust::ClaimToken::Parse(token)->id;
  EXPECT_EQ(Pending()->front().admitted_by(), "token " + id);
  // The use is counted when it asks; a token that expires meanwhile does not send it away.
  EXPECT_EQ(Once(*store_)->tokens().Get(id)->uses(), 1u);
  clock_.Advance(std::chrono::hours(23));
  EXPECT_ERROR(Enroll(device, token), kFailedPrecondition, "waits");
  clock_.Advance(std::chrono::hours(2));
  EXPECT_ERROR(Enroll(device, token), kFailedPrecondition, "waits");
  ASSERT_OK(Approve(device.id));
  ASSERT_OK(Enroll(device, token));
  EXPECT_EQ(Once(*store_)->tokens().Get(id)->uses(), 1u);
  const auto in = Once(*store_)->devices().Get(device.id);
  EXPECT_EQ(in->labels().at("site"), "lab");
  EXPECT_THAT(in->admitted_by(), HasSubstr("token " + id));
}

TEST_F(QueueTest, ARevokedTokensDevicesWaitNoLonger) {
  const FakeDevice device;
  const std::string token = WaitsByToken(device);
  ASSERT_OK(fleet_.RevokeToken(trust::ClaimToken::Parse(token)->id));
  EXPECT_TRUE(Pending()->empty());
  EXPECT_ERROR(Enroll(device, token), kPermissionDenied, "revoked");
  EXPECT_ERROR(Approve(device.id), kNotFound, "device pending");
}

TEST_F(QueueTest, AReflashedMachineReplacesItsOldSelfOnlyWhenAnOperatorSaysSo) {
  FakeDevice old = On("board-1"), anew = On("board-1");
  const auto before = Enrolled(old);
  ASSERT_OK(fleet_.Label(old.id, {{"shelf", "3"}, {"site", "attic"}}, {}));
  Fleet::TokenRequest request;
  request.labels = {{"site", "lab"}};
  const std::string good = Token(request);
  EXPECT_ERROR(Enroll(anew, good), kFailedPrecondition, old.id);
  EXPECT_EQ(Pending()->front().replaces(), old.id);
  EXPECT_OK(Authenticate(*trust::ReadCertificate(before.certificate_pem)))
      << "saying so changes nothing";

  const auto approved = Approve(anew.id);
  ASSERT_OK(approved);
  EXPECT_EQ(approved->revoked, old.id);
  EXPECT_EQ(approved->device.labels().at("shelf"), "3");
  EXPECT_EQ(approved->device.labels().at("site"), "lab");
  EXPECT_ERROR(Authenticate(*trust::ReadCertificate(before.certificate_pem)), kPermissionDenied,
               "revoked");
  EXPECT_OK(Enroll(anew, good));
  EXPECT_OK(Enroll(On("board-2"), Token())) << "another machine";
}

TEST_F(QueueTest, AListedDeviceWaitsTooWhenItsMachineIsIn) {
  FakeDevice old = On("board-1"), anew = On("board-1");
  Enrolled(old);
  v1::AllowedDevice entry;
  entry.set_device_id(anew.id);
  ASSERT_OK(fleet_.Allow({entry}));
  EXPECT_ERROR(Enroll(anew), kFailedPrecondition, old.id);
  ASSERT_OK(Revoke(old.id));  // the operator put it out by hand
  EXPECT_OK(Enroll(anew));
}

TEST_F(QueueTest, ALieAboutTheMachineOnlyHoldsBack) {
  FakeDevice victim = On("board-1"), liar;
  Enrolled(victim);
  Enrolled(liar);
  // A device that is in cannot take the machine over afterwards, and keeps nobody from renewing.
  liar.facts.set_hardware_id("board-1");
  ASSERT_OK(CheckIn(liar.id, "", &liar.facts, {}));
  EXPECT_OK(Enroll(victim));
  EXPECT_EQ(Once(*store_)->devices().Get(victim.id)->state(), v1::Device::ACTIVE);
  FakeDevice second = On("board-1");
  EXPECT_ERROR(Enroll(second, Token()), kFailedPrecondition, "waits");
  FakeDevice chatty = On(std::string(65, 'x'));
  EXPECT_ERROR(Enroll(chatty, Token()), kInvalidArgument, "hardware_id");
}

// Approving is of what was looked at: a third key that came in between is not revoked unseen.
TEST_F(QueueTest, ApprovalNamesWhomItReplaces) {
  FakeDevice first = On("board-1"), second = On("board-1"), third = On("board-1");
  EXPECT_ERROR(Enroll(second), kFailedPrecondition, "admits");
  EXPECT_ERROR(Enroll(third), kFailedPrecondition, "admits");
  Enrolled(first);
  EXPECT_ERROR(Approve(second.id), kFailedPrecondition, first.id);
  EXPECT_ERROR(Enroll(second), kFailedPrecondition, "waits");
  EXPECT_EQ(Approve(second.id)->revoked, first.id);
  EXPECT_EQ(Once(*store_)->devices().Get(first.id)->state(), v1::Device::REVOKED);
  EXPECT_ERROR(Approve(third.id), kFailedPrecondition, second.id);
}

}  // namespace
}  // namespace quantfleet::daemon
