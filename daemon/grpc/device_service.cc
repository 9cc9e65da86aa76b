// The calls of devices.
#include "daemon/grpc/services.h"
#include "quantfleet/v1/device.grpc.pb.h"

namespace quantfleet::daemon {
namespace {

using Context = grpc::CallbackServerContext;
using Reactor = grpc::ServerUnaryReactor;

// What holds text that a device found on its machine comes as bytes.
template <typename Below>
using Enrolls = v1::DeviceService::WithRawCallbackMethod_Enroll<Below>;
template <typename Below>
using ChecksIn = v1::DeviceService::WithRawCallbackMethod_CheckIn<Below>;
using Base = Enrolls<ChecksIn<
    v1::DeviceService::WithCallbackMethod_GetChallenge<v1::DeviceService::WithCallbackMethod_Renew<
        v1::DeviceService::WithCallbackMethod_GetArtifact<v1::DeviceService::Service>>>>>;

class DeviceService final : public Base {
 public:
  DeviceService(app::App& app, Dispatcher& dispatcher) : app_(app), dispatcher_(dispatcher) {}

  Reactor* Enroll(Context* context, const grpc::ByteBuffer* request,
                  grpc::ByteBuffer* answer) override {
    return dispatcher_.RunBytes(context, request, answer, app_.device_calls,
                                &app::DeviceCalls::Enroll);
  }
  Reactor* GetChallenge(Context* context, const v1::GetChallengeRequest* request,
                        v1::Challenge* answer) override {
    return dispatcher_.Run(context, request, answer, app_.device_calls,
                           &app::DeviceCalls::GetChallenge);
  }
  Reactor* Renew(Context* context, const v1::RenewRequest* request, v1::Identity* answer) override {
    return dispatcher_.Run(context, request, answer, app_.device_calls, &app::DeviceCalls::Renew);
  }
  Reactor* CheckIn(Context* context, const grpc::ByteBuffer* request,
                   grpc::ByteBuffer* answer) override {
    return dispatcher_.RunBytes(context, request, answer, app_.device_calls,
                                &app::DeviceCalls::CheckIn);
  }
  Reactor* GetArtifact(Context* context, const v1::GetDeviceArtifactRequest* request,
                       v1::DeviceArtifact* answer) override {
    return dispatcher_.Run(context, request, answer, app_.device_calls,
                           &app::DeviceCalls::GetArtifact);
  }

 private:
  app::App& app_;
  Dispatcher& dispatcher_;
};

}  // namespace

void AddDeviceService(app::App& app, Dispatcher& dispatcher, Services& services) {
  services.push_back(std::make_unique<DeviceService>(app, dispatcher));
}

}  // namespace quantfleet::daemon
