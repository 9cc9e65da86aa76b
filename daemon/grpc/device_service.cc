// The calls of devices.
#include "daemon/grpc/services.h"
#include "quantfleet/v1/device.grpc.pb.h"

namespace quantfleet::daemon {
namespace {

using Context = grpc::CallbackServerContext;
using Reactor = grpc::ServerUnaryReactor;
using V1 = v1::DeviceService;

// Those that are open to everybody, or hold text that a device found on its machine, get bytes, and
// make a message of them once they have looked at them.
using Methods = V1::WithRawCallbackMethod_Enroll<
    V1::WithRawCallbackMethod_GetChallenge<V1::WithRawCallbackMethod_Renew<
        V1::WithRawCallbackMethod_CheckIn<V1::WithCallbackMethod_GetArtifact<V1::Service>>>>>;

// A certificate with its chain, and facts; a CSR and a signature; what a device reports.
constexpr MessageBounds kEnroll{.bytes = 48 << 10}, kChallenge{.bytes = 1 << 10},
    kRenew{.bytes = 16 << 10}, kCheckIn{.bytes = 4 << 20, .fields = 16 << 10};

class DeviceService final : public Methods {
 public:
  DeviceService(app::App& app, Dispatcher& dispatcher) : app_(app), dispatcher_(dispatcher) {}

  Reactor* Enroll(Context* context, const grpc::ByteBuffer* request,
                  grpc::ByteBuffer* answer) override {
    return dispatcher_.RunBytes(Method(__func__), context, request, answer, kEnroll,
                                /*vouches=*/true, app_.device_calls, &app::DeviceCalls::Enroll);
  }
  Reactor* GetChallenge(Context* context, const grpc::ByteBuffer* request,
                        grpc::ByteBuffer* answer) override {
    return dispatcher_.RunBytes(Method(__func__), context, request, answer, kChallenge,
                                /*vouches=*/false, app_.device_calls,
                                &app::DeviceCalls::GetChallenge);
  }
  Reactor* Renew(Context* context, const grpc::ByteBuffer* request,
                 grpc::ByteBuffer* answer) override {
    return dispatcher_.RunBytes(Method(__func__), context, request, answer, kRenew,
                                /*vouches=*/true, app_.device_calls, &app::DeviceCalls::Renew);
  }
  Reactor* CheckIn(Context* context, const grpc::ByteBuffer* request,
                   grpc::ByteBuffer* answer) override {
    return dispatcher_.RunBytes(Method(__func__), context, request, answer, kCheckIn,
                                /*vouches=*/false, app_.device_calls, &app::DeviceCalls::CheckIn);
  }
  Reactor* GetArtifact(Context* context, const v1::GetDeviceArtifactRequest* request,
                       v1::DeviceArtifact* answer) override {
    return dispatcher_.RunForDevice(Method(__func__), context, request, answer, app_.device_calls,
                                    &app::DeviceCalls::GetArtifact);
  }

 private:
  static Dispatcher::Named Method(std::string_view function) {
    return Dispatcher::Method("DeviceService", function);
  }

  app::App& app_;
  Dispatcher& dispatcher_;
};

}  // namespace

void AddDeviceService(app::App& app, Dispatcher& dispatcher, Services& services) {
  services.push_back(std::make_unique<DeviceService>(app, dispatcher));
}

}  // namespace quantfleet::daemon
