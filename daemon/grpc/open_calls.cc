#include "daemon/grpc/open_calls.h"

#include <grpc/grpc_security_constants.h>
#include <grpcpp/security/auth_metadata_processor.h>

#include <algorithm>
#include <array>

#include "common/net/channel.h"

namespace quantfleet::daemon {
namespace {

constexpr std::string_view kDevices = "/quantfleet.v1.DeviceService/";
constexpr std::array<std::string_view, 6> kOpen = {
    "/quantfleet.v1.DeviceService/Enroll", "/quantfleet.v1.DeviceService/GetChallenge",
    "/quantfleet.v1.DeviceService/Renew",  "/quantfleet.v1.OperatorService/Login",
    "/grpc.health.v1.Health/Check",        "/grpc.health.v1.Health/Watch"};

class StrangersFilter final : public grpc::AuthMetadataProcessor {
 public:
  explicit StrangersFilter(OnRefusal refused) : refused_(std::move(refused)) {}

  bool IsBlocking() const override { return false; }
  grpc::Status Process(const InputMetadata& metadata, grpc::AuthContext* context, OutputMetadata*,
                       OutputMetadata*) override {
    if (!context->FindPropertyValues(GRPC_X509_PEM_CERT_PROPERTY_NAME).empty())
      return grpc::Status::OK;
    const auto path = metadata.find(":path");
    const std::string_view asked = path == metadata.end()
                                       ? std::string_view()
                                       : std::string_view(path->second.data(), path->second.size());
    const absl::Status may = MayBeAskedByAnybody(asked);
    if (!may.ok()) refused_(asked, may);
    return net::ToGrpc(may);
  }

 private:
  const OnRefusal refused_;
};

}  // namespace

absl::Status MayBeAskedByAnybody(std::string_view path) {
  if (std::ranges::find(kOpen, path) != kOpen.end()) return absl::OkStatus();
  if (path.starts_with(kDevices))
    return Unauthenticated("this call needs a device's certificate: enroll first");
  return Unauthenticated("this call needs an operator's credential");
}

std::shared_ptr<grpc::AuthMetadataProcessor> MakeStrangersFilter(OnRefusal refused) {
  return std::make_shared<StrangersFilter>(std::move(refused));
}

}  // namespace quantfleet::daemon
