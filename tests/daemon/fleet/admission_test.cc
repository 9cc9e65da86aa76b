// The ways in: token, list, customer's certificate. Those who wait: queue_test.cc.
#include "common/base/retry_after.h"
#include "tests/daemon/fleet/fleet_fixture.h"
#include "tests/daemon/store/once.h"
#include "tests/support/foreign_ca.h"
#include "tests/support/status_matchers.h"

namespace quantfleet::daemon {
namespace {

using testing::ForeignCa;
using testing::ForeignIdentity;
using testing::Names;

TEST_F(FleetFixture, TokenLetsSoManyInAnHour) {
  Fleet::TokenRequest request;
  request.rate_per_hour = 1;
  const std::string token = Token(request);
  const FakeDevice first, second;
  ASSERT_OK(Enroll(first, token));
  clock_.Advance(std::chrono::minutes(20));
  const auto refused = Enroll(second, token);
  EXPECT_ERROR(refused, kResourceExhausted, "hour");
  EXPECT_EQ(RetryAfter(refused.status()), Duration(std::chrono::minutes(40)));
  EXPECT_OK(Enroll(first, token)) << "who is in is not held up";
  EXPECT_EQ(fleet_.counters().enrollments_held, 1u);
  EXPECT_EQ(fleet_.counters().enrollments_refused, 0u);
  clock_.Advance(std::chrono::minutes(40));
  EXPECT_OK(Enroll(second, token));
}

TEST_F(FleetFixture, TokenPinsItsClassWhereTheDeviceFitsIt) {
  Fleet::TokenRequest request;
  request.device_class = "edge-fp16";
  const std::string token = Token(request);
  FakeDevice edge("edge", 32768), small("iot", 1024);
  ASSERT_OK(classes_.Apply("name='best'\nformat='gguf'\nrecipe='f32'\npriority=99\n"));
  EXPECT_EQ(Enroll(edge, token)->device_class, "edge-fp16");
  EXPECT_EQ(Enroll(small, token)->device_class, "best");
  EXPECT_THAT(Once(*store_)->devices().Get(small.id)->class_reason(),
              Names("edge-fp16", "token", "form edge"));
  // It holds at check-ins too, and as soon as the device fits.
  EXPECT_EQ(CheckIn(edge.id, "", nullptr, {})->device_class(), "edge-fp16");
  EXPECT_EQ(CheckIn(small.id, "", &edge.facts, {})->device_class(), "edge-fp16");
  request.device_class = "egde-fp16";
  EXPECT_ERROR(fleet_.CreateToken(request), kNotFound, "quantfleet class list");
}

TEST_F(FleetFixture, RevokedTokenPutsNobodyOut) {
  const std::string leaked = Token();
  const FakeDevice in, late;
  const auto identity = Enroll(in, leaked);
  ASSERT_OK(identity);
  ASSERT_OK(fleet_.RevokeToken(trust::ClaimToken::Parse(leaked)->id));
  EXPECT_ERROR(Enroll(late, leaked), kPermissionDenied, "revoked");
  EXPECT_OK(Authenticate(*trust::ReadCertificate(identity->certificate_pem)));
  EXPECT_OK(Enroll(in, leaked)) << "whose answer was lost, asks again";
}

class Listed : public FleetFixture {
 protected:
  v1::AllowedDevice Entry(const FakeDevice& device, bool whole_key) {
    v1::AllowedDevice entry;
    if (whole_key)
      entry.set_public_key(trust::PublicKeyDigest(device.key.public_pem)->raw());
    else
      entry.set_device_id(device.id);
    (*entry.mutable_labels())["site"] = "lab";
    return entry;
  }
};

TEST_F(Listed, ComesOnceByItsIdOrItsKey) {
  const FakeDevice by_id, by_key, unknown;
  const auto allowed = fleet_.Allow({Entry(by_id, false), Entry(by_key, true)});
  ASSERT_OK(allowed);
  EXPECT_EQ(allowed->back().device_id(), by_key.id);
  for (const FakeDevice* device : {&by_id, &by_key}) {
    ASSERT_OK(Enroll(*device));
    EXPECT_EQ(Once(*store_)->devices().Get(device->id)->labels().at("site"), "lab");
    EXPECT_EQ(Once(*store_)->devices().Get(device->id)->admitted_by(), "list");
    EXPECT_OK(Enroll(*device)) << "the same key is the same device";
    EXPECT_EQ(Once(*store_)->devices().Get(device->id)->admitted_by(), "list");
  }
  EXPECT_TRUE(Once(*store_)->admission().ListAllowed("", 10)->empty());
  EXPECT_ERROR(Enroll(unknown), kPermissionDenied, "quantfleet device allow " + unknown.id);
}

TEST_F(Listed, EntriesAreChecked) {
  FakeDevice device;
  v1::AllowedDevice entry = Entry(device, false);
  entry.set_public_key(HashText("another key").raw());
  EXPECT_ERROR(fleet_.Allow({entry}), kInvalidArgument, device.id);
  entry.clear_device_id();
  entry.set_public_key("short");
  EXPECT_ERROR(fleet_.Allow({entry}), kInvalidArgument, "32 bytes");
  entry.clear_public_key();
  entry.set_device_id("d-0123456789ABCDEF");
  EXPECT_ERROR(fleet_.Allow({entry}), kInvalidArgument, "d-0123456789ABCDEF");
  EXPECT_ERROR(fleet_.Allow({}), kInvalidArgument, "devices");
  EXPECT_ERROR(fleet_.Allow(std::vector<v1::AllowedDevice>(1001, Entry(device, false))),
               kInvalidArgument, "1000");
  Enrolled(device);
  EXPECT_ERROR(fleet_.Allow({Entry(FakeDevice(), false), Entry(device, false)}), kAlreadyExists,
               device.id);
  EXPECT_TRUE(Once(*store_)->admission().ListAllowed("", 10)->empty()) << "all or nothing";
}

TEST_F(Listed, AnEntryOfAnotherKeyWithTheSameIdIsNoEntry) {
  const FakeDevice device;
  v1::AllowedDevice entry = Entry(device, false);
  entry.set_public_key(HashText("collides").raw());
  ASSERT_OK(Once(*store_)->admission().Allow({entry}, 10));
  EXPECT_ERROR(Enroll(device), kPermissionDenied, "quantfleet device allow");
}

TEST_F(Listed, ABanAndATakenBackEntryCountAtTheNextRequest) {
  const FakeDevice device, other;
  ASSERT_OK(fleet_.Allow({Entry(device, true), Entry(other, true)}));
  ASSERT_OK(Once(*store_)->admission().Disallow(other.id));
  EXPECT_ERROR(Enroll(other), kPermissionDenied, "quantfleet device allow");
  const auto identity = Enroll(device);
  ASSERT_OK(identity);
  ASSERT_OK(Revoke(device.id));
  EXPECT_ERROR(Authenticate(*trust::ReadCertificate(identity->certificate_pem)), kPermissionDenied,
               "revoked");
  EXPECT_ERROR(Enroll(device), kPermissionDenied, "new key");
  EXPECT_ERROR(fleet_.Allow({Entry(device, true)}), kFailedPrecondition, "revoked");
}

ManualClock& CustomerClock() {
  static ManualClock clock;  // the fixture's own is made later than its options
  return clock;
}
const ForeignCa& CustomersCa() {
  static const ForeignCa ca(CustomerClock());
  return ca;
}
Fleet::Options TrustingCustomer() {
  Fleet::Options options;
  options.customer_ca_pem = CustomersCa().pem();
  return options;
}

class Customers : public FleetFixture {
 protected:
  Customers() : FleetFixture(TrustingCustomer()) {}

  Fleet::Applicant Applicant(const FakeDevice& device, const ForeignIdentity& customer) {
    Fleet::Applicant applicant = Asking(device);
    const std::string nonce = applicant.proof->nonce;  // one challenge for both
    const std::string message = trust::ProofMessage("Enroll", nonce, device.csr);
    applicant.customer = {customer.certificate_pem, nonce,
                          trust::SignWithAnyKey(customer.private_pem, AsBytes(message)).value()};
    return applicant;
  }
  absl::StatusOr<Fleet::Issued> Come(const FakeDevice& device, const ForeignIdentity& customer) {
    return fleet_.Enroll(Applicant(device, customer));
  }
  const ForeignIdentity board_ = CustomersCa().Issue("board 7");
};

TEST_F(Customers, CertificateLetsItsHolderIn) {
  for (const auto kind : {ForeignCa::Kind::kEc, ForeignCa::Kind::kRsa, ForeignCa::Kind::kEd25519}) {
    const FakeDevice device;
    const ForeignIdentity customer = CustomersCa().Issue("board", kind);
    ASSERT_OK(Come(device, customer));
    EXPECT_EQ(Once(*store_)->devices().Get(device.id)->admitted_by(), "certificate CN=board");
    EXPECT_OK(Come(device, customer)) << "the same key is the same device";
  }
}

TEST_F(Customers, WhatIsNotProvenIsRefused) {
  const FakeDevice device, other;
  const ForeignCa another(clock_);
  EXPECT_ERROR(Come(device, another.Issue("board 7")), kUnauthenticated, "issued");
  Fleet::Applicant applicant = Applicant(device, board_);
  applicant.csr_pem = other.csr;  // a stranger who saw the call
  EXPECT_ERROR(fleet_.Enroll(applicant), kUnauthenticated, "this device");
  applicant = Applicant(device, board_);
  applicant.customer->proof = Applicant(device, CustomersCa().Issue("board 8")).customer->proof;
  EXPECT_ERROR(fleet_.Enroll(applicant), kUnauthenticated, "CN=board 7");
  applicant = Applicant(device, board_);
  ASSERT_OK(fleet_.Enroll(applicant));
  EXPECT_ERROR(fleet_.Enroll(applicant), kUnauthenticated, "already used");
  applicant = Applicant(device, board_);
  applicant.customer->certificate_pem.resize(40 << 10, '\n');
  EXPECT_ERROR(fleet_.Enroll(applicant), kInvalidArgument, "customer.certificate_pem");
  applicant = Applicant(other, CustomersCa().Issue("late"));
  clock_.Advance(std::chrono::hours(2));
  EXPECT_ERROR(fleet_.Enroll(applicant), kUnauthenticated, "challenge", "expired");
  EXPECT_ERROR(fleet_.Enroll(Applicant(other, board_)), kUnauthenticated, "certificate", "expired");
}

TEST_F(FleetFixture, CertificatesAreRefusedWhereNoCaIsTrusted) {
  Fleet::Applicant applicant{"", FakeDevice().csr, {}, "test", Fleet::CustomerProof{"c", "n", "p"},
                             {}};
  EXPECT_ERROR(fleet_.Enroll(applicant), kPermissionDenied, "--enrollment-ca");
}

TEST_F(Customers, ABanIsOfTheCertificateToo) {
  FakeDevice device, again;
  ASSERT_OK(Come(device, board_));
  ASSERT_OK(Revoke(device.id));
  EXPECT_ERROR(Come(device, board_), kPermissionDenied, "revoked");
  EXPECT_ERROR(Come(again, board_), kPermissionDenied, "quantfleet device allow " + again.id);
  v1::AllowedDevice entry;
  entry.set_device_id(again.id);
  ASSERT_OK(fleet_.Allow({entry}));
  EXPECT_OK(Come(again, board_));
}

TEST_F(Customers, ACertificateIsOneDevices) {
  FakeDevice device, copy;
  ASSERT_OK(Come(device, board_));
  EXPECT_ERROR(Come(copy, board_), kFailedPrecondition, "certificate", device.id);
  ASSERT_OK(fleet_.Reject(copy.id));
  EXPECT_ERROR(Come(copy, board_), kPermissionDenied, "revoked");
  EXPECT_OK(Come(device, board_)) << "the copy's ban is not its own";
  FakeDevice anew;
  EXPECT_ERROR(Come(anew, board_), kFailedPrecondition, "waits");
  EXPECT_EQ(Approve(anew.id)->revoked, device.id);
  EXPECT_OK(Come(anew, board_));
  EXPECT_ERROR(Come(device, board_), kPermissionDenied, "revoked");
}

}  // namespace
}  // namespace quantfleet::daemon
