// A daemon as ServerFixture has it, an operator who asks it for a small model's artifacts, and
// devices that enroll.
#pragma once

#include <string>
#include <vector>

#include "tests/daemon/grpc/server_fixture.h"

namespace quantfleet::daemon {

class WholePathFixture : public ServerFixture {
 protected:
  void SetUp() override {
    admin_ = Operator("admin");
    models_ = Stub<v1::ModelService>(admin_);
    jobs_ = Stub<v1::JobService>(admin_);
    tokens_ = Stub<v1::TokenService>(admin_);
    fleet_ = Stub<v1::FleetService>(admin_);
    rollouts_ = Stub<v1::RolloutService>(admin_);
    testing::WriteTinyModel(dir_ / "tiny", "phi3");
  }

  absl::StatusOr<v1::Model> Import() {
    v1::ImportModelRequest request;
    request.set_name("tiny");
    request.set_path((dir_ / "tiny").string());
    return Call<v1::Model>(models_, &v1::ModelService::Stub::ImportModel, request);
  }
  // To its end, by the watch stream.
  v1::Job RunJob(std::vector<std::string> classes) {
    v1::SubmitJobRequest request;
    request.set_model("tiny");
    for (std::string& name : classes) request.add_device_classes(std::move(name));
    const auto job = Call<v1::Job>(jobs_, &v1::JobService::Stub::SubmitJob, request);
    EXPECT_OK(job.status());
    v1::GetJobRequest watch;
    if (job.ok()) watch.set_name(job->name());
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    const auto stream = jobs_->WatchJob(&context, watch);
    v1::Job last;
    while (stream->Read(&last)) {
    }
    EXPECT_OK(net::FromGrpc(stream->Finish()));
    EXPECT_TRUE(last.done());
    return last;
  }

  struct Device {
    trust::KeyPair key = trust::GenerateTlsKey();
    v1::Identity identity;
    net::ClientIdentity tls() const { return {identity.certificate_pem(), key.private_pem}; }
  };
  std::string Token() {
    const auto token =
        Call<v1::CreateTokenResponse>(tokens_, &v1::TokenService::Stub::CreateToken, {});
    EXPECT_OK(token.status());
    return token.ok() ? token->secret() : "";
  }
  absl::StatusOr<v1::Identity> Enroll(const Device& device, const std::string& token,
                                      const std::string& form = "iot") {
    v1::EnrollRequest request;
    request.set_token(token);
    request.set_csr_pem(trust::MakeCsr(device.key.private_pem, "x").value());
    request.mutable_facts()->set_form(form);
    request.mutable_facts()->set_memory_total_bytes(uint64_t{1} << 30);
    return Call<v1::Identity>(Stub<v1::DeviceService>({}), &v1::DeviceService::Stub::Enroll,
                              request);
  }
  Device Enrolled() {
    Device device;
    const auto identity = Enroll(device, Token());
    EXPECT_OK(identity.status());
    if (identity.ok()) device.identity = *identity;
    return device;
  }
  static absl::StatusOr<v1::CheckInResponse> CheckIn(
      const std::unique_ptr<v1::DeviceService::Stub>& stub,
      const v1::CheckInRequest& request = {}) {
    return Call<v1::CheckInResponse>(stub, &v1::DeviceService::Stub::CheckIn, request);
  }

  net::ClientIdentity admin_;
  std::unique_ptr<v1::ModelService::Stub> models_;
  std::unique_ptr<v1::JobService::Stub> jobs_;
  std::unique_ptr<v1::TokenService::Stub> tokens_;
  std::unique_ptr<v1::FleetService::Stub> fleet_;
  std::unique_ptr<v1::RolloutService::Stub> rollouts_;
};

}  // namespace quantfleet::daemon
