// The calls of devices.
#include "daemon/grpc/services.h"
#include "quantfleet/v1/device.grpc.pb.h"

namespace quantfleet::daemon {
namespace {

using Context = grpc::CallbackServerContext;
using Reactor = grpc::ServerUnaryReactor;

class DeviceService final : public v1::DeviceService::CallbackService {
 public:
  DeviceService(app::App& app, Dispatcher& dispatcher) : app_(app), dispatcher_(dispatcher) {}

  Reactor* Enroll(Context* context, const v1::EnrollRequest* request,
                  v1::Identity* answer) override {
    return dispatcher_.Run(context, request, answer, app_.device_calls, &app::DeviceCalls::Enroll);
  }
  Reactor* GetChallenge(Context* context, const v1::GetChallengeRequest* request,
                        v1::Challenge* answer) override {
    return dispatcher_.Run(context, request, answer, app_.device_calls,
                           &app::DeviceCalls::GetChallenge);
  }
  Reactor* Renew(Context* context, const v1::RenewRequest* request, v1::Identity* answer) override {
    return dispatcher_.Run(context, request, answer, app_.device_calls, &app::DeviceCalls::Renew);
  }
  Reactor* CheckIn(Context* context, const v1::CheckInRequest* request,
                   v1::CheckInResponse* answer) override {
    return dispatcher_.Run(context, request, answer, app_.device_calls, &app::DeviceCalls::CheckIn);
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
