// The ways in over the wire: what operators and devices call, and what a refusal carries.
#include "common/base/retry_after.h"
#include "common/trust/trust_root.h"
#include "daemon/fleet/fleet.h"
#include "tests/daemon/grpc/server_fixture.h"

namespace quantfleet::daemon {
namespace {

class EnrollmentServerTest : public ServerFixture {
 protected:
  EnrollmentServerTest() {
    server_.reset();
    config_.enrollment_queue = 2;
    Start();
    fleet_ = Stub<v1::FleetService>(Operator("admin"));
  }
  absl::StatusOr<v1::Identity> Ask(const trust::KeyPair& key) {
    v1::EnrollRequest request;
    request.set_csr_pem(trust::MakeCsr(key.private_pem, "x").value());
    return Call<v1::Identity>(Stub<v1::DeviceService>({}), &v1::DeviceService::Stub::Enroll,
                              request);
  }
  static v1::GetDeviceRequest Id(const trust::KeyPair& key) {
    v1::GetDeviceRequest request;
    request.set_id(trust::DeviceIdOf(trust::PublicKeyDigest(key.public_pem).value()));
    return request;
  }
  absl::StatusOr<v1::ListPendingDevicesResponse> Pending() {
    return Call<v1::ListPendingDevicesResponse>(fleet_, &v1::FleetService::Stub::ListPendingDevices,
                                                {});
  }

  std::unique_ptr<v1::FleetService::Stub> fleet_;
};

TEST_F(EnrollmentServerTest, OneThatWaitsIsToldWhenToAskAgainAndIsLetIn) {
  const trust::KeyPair key = trust::GenerateTlsKey(), other = trust::GenerateTlsKey();
  const auto waiting = Ask(key);
  EXPECT_ERROR(waiting, kFailedPrecondition, "waits");
  EXPECT_EQ(RetryAfter(waiting.status()), Duration(config_.check_in));
  EXPECT_ERROR(Ask(other), kFailedPrecondition, "waits");
  ASSERT_EQ(Pending()->devices_size(), 2);
  const auto approved = Call<v1::Device>(fleet_, &v1::FleetService::Stub::ApproveDevice, Id(key));
  ASSERT_OK(approved);
  EXPECT_EQ(approved->state(), v1::Device::ACTIVE);
  ASSERT_OK(Call<v1::Device>(fleet_, &v1::FleetService::Stub::RejectDevice, Id(other)));
  EXPECT_OK(Ask(key));
  const auto rejected = Ask(other);
  EXPECT_ERROR(rejected, kPermissionDenied, "revoked");
  EXPECT_EQ(RetryAfter(rejected.status()), std::nullopt);
  const auto viewer = Stub<v1::StatusService>(Operator("viewer"));
  const auto status = Call<v1::Status>(viewer, &v1::StatusService::Stub::GetStatus, {});
  ASSERT_OK(status);
  EXPECT_EQ(status->devices_pending(), 0u);
  EXPECT_EQ(status->ca_sha256(), authority_->ca_fingerprint().hex());
}

TEST_F(EnrollmentServerTest, ACapturedEnrollChangesNothing) {
  const trust::KeyPair key = trust::GenerateTlsKey();
  const auto device = Stub<v1::DeviceService>({});
  const std::string id = Id(key).id();
  v1::AllowDevicesRequest allow;
  allow.add_devices()->set_device_id(id);
  ASSERT_OK(Call<v1::AllowDevicesResponse>(fleet_, &v1::FleetService::Stub::AllowDevices, allow));
  v1::GetChallengeRequest ask;
  ask.set_device_id(id);
  const auto challenge = Call<v1::Challenge>(device, &v1::DeviceService::Stub::GetChallenge, ask);
  ASSERT_OK(challenge);
  v1::EnrollRequest request;
  request.set_csr_pem(trust::MakeCsr(key.private_pem, "x").value());
  request.mutable_facts()->set_form("iot");
  request.set_agent_version("1.0");
  request.set_nonce(challenge->nonce());
  request.set_proof(
      trust::SignWithTlsKey(
          key.private_pem, AsBytes(Fleet::EnrollmentMessage(challenge->nonce(), request.csr_pem())))
          .value());
  ASSERT_OK(Call<v1::Identity>(device, &v1::DeviceService::Stub::Enroll, request));
  const auto before = Call<v1::Device>(fleet_, &v1::FleetService::Stub::GetDevice, Id(key));
  ASSERT_OK(before);

  request.mutable_facts()->set_form("edge");
  request.set_agent_version("lie");
  EXPECT_ERROR(Call<v1::Identity>(device, &v1::DeviceService::Stub::Enroll, request),
               kUnauthenticated, "challenge");
  request.clear_nonce();
  EXPECT_ERROR(Call<v1::Identity>(device, &v1::DeviceService::Stub::Enroll, request),
               kUnauthenticated, "challenge");
  request.clear_proof();
  EXPECT_EQ(Call<v1::Identity>(device, &v1::DeviceService::Stub::Enroll, request)->device_id(), id)
      << "an agent of before";
  const auto after = Call<v1::Device>(fleet_, &v1::FleetService::Stub::GetDevice, Id(key));
  EXPECT_EQ(after->SerializeAsString(), before->SerializeAsString());
}

TEST_F(EnrollmentServerTest, ARenewalAndACheckInBringTheTrustRootsBetween) {
  const trust::KeyPair key = trust::GenerateTlsKey();
  const std::string id = Id(key).id();
  v1::AllowDevicesRequest allow;
  allow.add_devices()->set_device_id(id);
  ASSERT_OK(Call<v1::AllowDevicesResponse>(fleet_, &v1::FleetService::Stub::AllowDevices, allow));
  const auto enrolled = Ask(key);
  ASSERT_OK(enrolled);
  EXPECT_EQ(enrolled->trust_roots_size(), 0);
  server_.reset();
  ASSERT_OK(Authority::RotateSigningKey(RealFileSystem(), config_.data));
  ASSERT_OK(Authority::RetireOldKeys(RealFileSystem(), config_.data));
  Start();

  const auto renew = [&](uint32_t version) {
    const auto device = Stub<v1::DeviceService>({});
    v1::GetChallengeRequest ask;
    ask.set_device_id(id);
    v1::RenewRequest request;
    request.set_device_id(id);
    request.set_nonce(
        Call<v1::Challenge>(device, &v1::DeviceService::Stub::GetChallenge, ask)->nonce());
    request.set_csr_pem(trust::MakeCsr(key.private_pem, "x").value());
    request.set_proof(
        trust::SignWithTlsKey(key.private_pem,
                              AsBytes(Fleet::RenewalMessage(request.nonce(), request.csr_pem())))
            .value());
    request.set_trust_root_version(version);
    return Call<v1::Identity>(device, &v1::DeviceService::Stub::Renew, request);
  };
  const auto check_in = [&](uint32_t version) {
    v1::CheckInRequest request;
    request.set_trust_root_version(version);
    return Call<v1::CheckInResponse>(
        Stub<v1::DeviceService>({enrolled->certificate_pem(), key.private_pem}),
        &v1::DeviceService::Stub::CheckIn, request);
  };
  const auto renewed = renew(1);
  ASSERT_OK(renewed);
  v1::TrustRoot root = enrolled->trust_root();
  EXPECT_TRUE(trust::Succeed(root, renewed->trust_roots()));
  EXPECT_EQ(root.version(), 3u);
  EXPECT_EQ(renewed->trust_root().SerializeAsString(), root.SerializeAsString())
      << "for agents of before";
  const auto told = check_in(1);
  ASSERT_OK(told);
  root = enrolled->trust_root();
  EXPECT_TRUE(trust::Succeed(root, told->trust_roots()));
  EXPECT_EQ(root.version(), 3u);
  EXPECT_TRUE(told->has_trust_root());
  for (const uint32_t version : {0u, 3u}) {
    EXPECT_EQ(renew(version)->trust_roots_size(), 0);
    EXPECT_EQ(check_in(version)->trust_roots_size(), 0);
    EXPECT_FALSE(check_in(version)->has_trust_root());
  }
}

TEST_F(EnrollmentServerTest, TheListIsReadInPages) {
  v1::AllowDevicesRequest request;
  for (int i = 0; i < 5; ++i) request.add_devices()->set_device_id(fmt::format("d-{:016x}", i));
  ASSERT_OK(Call<v1::AllowDevicesResponse>(fleet_, &v1::FleetService::Stub::AllowDevices, request));
  v1::ListAllowedDevicesRequest page;
  page.set_page_size(3);
  const auto first = Call<v1::ListAllowedDevicesResponse>(
      fleet_, &v1::FleetService::Stub::ListAllowedDevices, page);
  ASSERT_OK(first);
  EXPECT_EQ(first->devices_size(), 3);
  page.set_page_token(first->next_page_token());
  const auto second = Call<v1::ListAllowedDevicesResponse>(
      fleet_, &v1::FleetService::Stub::ListAllowedDevices, page);
  ASSERT_OK(second);
  EXPECT_EQ(second->devices_size(), 2);
  EXPECT_EQ(second->next_page_token(), "");
  v1::GetDeviceRequest id;
  id.set_id("d-0000000000000001");
  EXPECT_OK(Call<v1::AllowedDevice>(fleet_, &v1::FleetService::Stub::DisallowDevice, id));
}

TEST_F(EnrollmentServerTest, OnlyAdminsDecide) {
  const auto viewer = Stub<v1::FleetService>(Operator("viewer"));
  const auto publisher = Stub<v1::FleetService>(Operator("publisher"));
  const v1::GetDeviceRequest id = Id(trust::GenerateTlsKey());
  EXPECT_OK(Call<v1::ListPendingDevicesResponse>(viewer,
                                                 &v1::FleetService::Stub::ListPendingDevices, {}));
  EXPECT_OK(Call<v1::ListAllowedDevicesResponse>(viewer,
                                                 &v1::FleetService::Stub::ListAllowedDevices, {}));
  EXPECT_ERROR(Call<v1::Device>(publisher, &v1::FleetService::Stub::ApproveDevice, id),
               kPermissionDenied, "admin");
  EXPECT_ERROR(Call<v1::Device>(publisher, &v1::FleetService::Stub::RejectDevice, id),
               kPermissionDenied, "admin");
  EXPECT_ERROR(Call<v1::AllowedDevice>(publisher, &v1::FleetService::Stub::DisallowDevice, id),
               kPermissionDenied, "admin");
  EXPECT_ERROR(Call<v1::AllowDevicesResponse>(publisher, &v1::FleetService::Stub::AllowDevices, {}),
               kPermissionDenied, "admin");
}

TEST(EnrollmentCa, AFileThatHoldsNoCaStopsTheStart) {
  testing::TempDir dir;
  RealClock clock;
  SecureRandom random;
  Config config;
  config.data = dir / "data";
  config.listen.port = config.http.port = 0;
  config.enrollment_ca = dir / "ca.pem";
  ASSERT_OK(RealFileSystem().WriteAtomically(dir / "ca.pem", AsBytes("rubbish")));
  EXPECT_ERROR(Server::Start(config, {RealFileSystem(), clock, random, [](std::string_view) {}}),
               kInvalidArgument, "ca.pem");
}

}  // namespace
}  // namespace quantfleet::daemon
