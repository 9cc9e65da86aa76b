// Classes, tokens, devices and their groups, operators, the audit log, status.
#include "daemon/grpc/services.h"
#include "quantfleet/v1/operator.grpc.pb.h"

namespace quantfleet::daemon {
namespace {

using Context = grpc::CallbackServerContext;
using Reactor = grpc::ServerUnaryReactor;

class ClassService final : public v1::DeviceClassService::CallbackService {
 public:
  ClassService(app::App& app, Dispatcher& dispatcher) : app_(app), dispatcher_(dispatcher) {}

  Reactor* ListDeviceClasses(Context* context, const v1::ListDeviceClassesRequest* request,
                             v1::ListDeviceClassesResponse* answer) override {
    return dispatcher_.Run(Method(__func__), context, request, answer, app_.classes,
                           &app::Classes::List);
  }
  Reactor* ApplyDeviceClass(Context* context, const v1::ApplyDeviceClassRequest* request,
                            v1::DeviceClass* answer) override {
    return dispatcher_.Run(Method(__func__), context, request, answer, app_.classes,
                           &app::Classes::Apply);
  }

 private:
  static Dispatcher::Named Method(std::string_view function) {
    return Dispatcher::Method("DeviceClassService", function);
  }

  app::App& app_;
  Dispatcher& dispatcher_;
};

class TokenService final : public v1::TokenService::CallbackService {
 public:
  TokenService(app::App& app, Dispatcher& dispatcher) : app_(app), dispatcher_(dispatcher) {}

  Reactor* CreateToken(Context* context, const v1::CreateTokenRequest* request,
                       v1::CreateTokenResponse* answer) override {
    return dispatcher_.Run(Method(__func__), context, request, answer, app_.tokens,
                           &app::Tokens::Create);
  }
  Reactor* ListTokens(Context* context, const v1::ListTokensRequest* request,
                      v1::ListTokensResponse* answer) override {
    return dispatcher_.Run(Method(__func__), context, request, answer, app_.tokens,
                           &app::Tokens::List);
  }
  Reactor* RevokeToken(Context* context, const v1::RevokeTokenRequest* request,
                       v1::EnrollmentToken* answer) override {
    return dispatcher_.Run(Method(__func__), context, request, answer, app_.tokens,
                           &app::Tokens::Revoke);
  }

 private:
  static Dispatcher::Named Method(std::string_view function) {
    return Dispatcher::Method("TokenService", function);
  }

  app::App& app_;
  Dispatcher& dispatcher_;
};

class FleetService final : public v1::FleetService::CallbackService {
 public:
  FleetService(app::App& app, Dispatcher& dispatcher) : app_(app), dispatcher_(dispatcher) {}

  Reactor* ListDevices(Context* context, const v1::ListDevicesRequest* request,
                       v1::ListDevicesResponse* answer) override {
    return dispatcher_.Run(Method(__func__), context, request, answer, app_.devices,
                           &app::Devices::List);
  }
  Reactor* GetDevice(Context* context, const v1::GetDeviceRequest* request,
                     v1::Device* answer) override {
    return dispatcher_.Run(Method(__func__), context, request, answer, app_.devices,
                           &app::Devices::Get);
  }
  Reactor* RevokeDevice(Context* context, const v1::GetDeviceRequest* request,
                        v1::Device* answer) override {
    return dispatcher_.Run(Method(__func__), context, request, answer, app_.devices,
                           &app::Devices::Revoke);
  }
  Reactor* ForgetOutgrown(Context* context, const v1::ForgetOutgrownRequest* request,
                          v1::Device* answer) override {
    return dispatcher_.Run(Method(__func__), context, request, answer, app_.devices,
                           &app::Devices::ForgetOutgrown);
  }
  Reactor* LabelDevice(Context* context, const v1::LabelDeviceRequest* request,
                       v1::Device* answer) override {
    return dispatcher_.Run(Method(__func__), context, request, answer, app_.devices,
                           &app::Devices::Label);
  }
  Reactor* AllowDevices(Context* context, const v1::AllowDevicesRequest* request,
                        v1::AllowDevicesResponse* answer) override {
    return dispatcher_.Run(Method(__func__), context, request, answer, app_.devices,
                           &app::Devices::Allow);
  }
  Reactor* ListAllowedDevices(Context* context, const v1::ListAllowedDevicesRequest* request,
                              v1::ListAllowedDevicesResponse* answer) override {
    return dispatcher_.Run(Method(__func__), context, request, answer, app_.devices,
                           &app::Devices::ListAllowed);
  }
  Reactor* DisallowDevice(Context* context, const v1::GetDeviceRequest* request,
                          v1::AllowedDevice* answer) override {
    return dispatcher_.Run(Method(__func__), context, request, answer, app_.devices,
                           &app::Devices::Disallow);
  }
  Reactor* ListPendingDevices(Context* context, const v1::ListPendingDevicesRequest* request,
                              v1::ListPendingDevicesResponse* answer) override {
    return dispatcher_.Run(Method(__func__), context, request, answer, app_.devices,
                           &app::Devices::ListPending);
  }
  Reactor* ApproveDevice(Context* context, const v1::GetDeviceRequest* request,
                         v1::Device* answer) override {
    return dispatcher_.Run(Method(__func__), context, request, answer, app_.devices,
                           &app::Devices::Approve);
  }
  Reactor* RejectDevice(Context* context, const v1::GetDeviceRequest* request,
                        v1::Device* answer) override {
    return dispatcher_.Run(Method(__func__), context, request, answer, app_.devices,
                           &app::Devices::Reject);
  }

 private:
  static Dispatcher::Named Method(std::string_view function) {
    return Dispatcher::Method("FleetService", function);
  }

  app::App& app_;
  Dispatcher& dispatcher_;
};

class GroupService final : public v1::GroupService::CallbackService {
 public:
  GroupService(app::App& app, Dispatcher& dispatcher) : app_(app), dispatcher_(dispatcher) {}

  Reactor* ApplyGroup(Context* context, const v1::ApplyGroupRequest* request,
                      v1::DeviceGroup* answer) override {
    return dispatcher_.Run(Method(__func__), context, request, answer, app_.groups,
                           &app::Groups::Apply);
  }
  Reactor* ListGroups(Context* context, const v1::ListGroupsRequest* request,
                      v1::ListGroupsResponse* answer) override {
    return dispatcher_.Run(Method(__func__), context, request, answer, app_.groups,
                           &app::Groups::List);
  }
  Reactor* GetGroup(Context* context, const v1::GetGroupRequest* request,
                    v1::GroupDetail* answer) override {
    return dispatcher_.RunSlow(Method(__func__), context, request, answer, app_.groups,
                               &app::Groups::Get);
  }
  Reactor* DeleteGroup(Context* context, const v1::GetGroupRequest* request,
                       v1::DeviceGroup* answer) override {
    return dispatcher_.Run(Method(__func__), context, request, answer, app_.groups,
                           &app::Groups::Delete);
  }

 private:
  static Dispatcher::Named Method(std::string_view function) {
    return Dispatcher::Method("GroupService", function);
  }

  app::App& app_;
  Dispatcher& dispatcher_;
};

// Whoever logs in has no certificate: its message is looked at as bytes.
using OperatorMethods = v1::OperatorService::WithRawCallbackMethod_Login<
    v1::OperatorService::WithCallbackMethod_CreateOperator<
        v1::OperatorService::WithCallbackMethod_ListOperators<
            v1::OperatorService::WithCallbackMethod_GetOperator<
                v1::OperatorService::WithCallbackMethod_RevokeOperator<
                    v1::OperatorService::WithCallbackMethod_RotateOperator<
                        v1::OperatorService::Service>>>>>>;
constexpr MessageBounds kLogin{.bytes = 24 << 10};

class OperatorService final : public OperatorMethods {
 public:
  OperatorService(app::App& app, Dispatcher& dispatcher) : app_(app), dispatcher_(dispatcher) {}

  Reactor* CreateOperator(Context* context, const v1::CreateOperatorRequest* request,
                          v1::OperatorWithCode* answer) override {
    return dispatcher_.Run(Method(__func__), context, request, answer, app_.operators,
                           &app::OperatorCalls::Create);
  }
  Reactor* ListOperators(Context* context, const v1::ListOperatorsRequest* request,
                         v1::ListOperatorsResponse* answer) override {
    return dispatcher_.Run(Method(__func__), context, request, answer, app_.operators,
                           &app::OperatorCalls::List);
  }
  Reactor* GetOperator(Context* context, const v1::GetOperatorRequest* request,
                       v1::Operator* answer) override {
    return dispatcher_.Run(Method(__func__), context, request, answer, app_.operators,
                           &app::OperatorCalls::Get);
  }
  Reactor* RevokeOperator(Context* context, const v1::RevokeOperatorRequest* request,
                          v1::Operator* answer) override {
    return dispatcher_.Run(Method(__func__), context, request, answer, app_.operators,
                           &app::OperatorCalls::Revoke);
  }
  Reactor* RotateOperator(Context* context, const v1::RotateOperatorRequest* request,
                          v1::OperatorWithCode* answer) override {
    return dispatcher_.Run(Method(__func__), context, request, answer, app_.operators,
                           &app::OperatorCalls::Rotate);
  }
  Reactor* Login(Context* context, const grpc::ByteBuffer* request,
                 grpc::ByteBuffer* answer) override {
    return dispatcher_.RunBytes(Method(__func__), context, request, answer, kLogin,
                                /*vouches=*/true, app_.operators, &app::OperatorCalls::Login);
  }

 private:
  static Dispatcher::Named Method(std::string_view function) {
    return Dispatcher::Method("OperatorService", function);
  }

  app::App& app_;
  Dispatcher& dispatcher_;
};

class AuditService final : public v1::AuditService::CallbackService {
 public:
  AuditService(app::App& app, Dispatcher& dispatcher) : app_(app), dispatcher_(dispatcher) {}

  Reactor* ListAudit(Context* context, const v1::ListAuditRequest* request,
                     v1::ListAuditResponse* answer) override {
    return dispatcher_.Run(Method(__func__), context, request, answer, app_.audit,
                           &app::Audit::List);
  }

 private:
  static Dispatcher::Named Method(std::string_view function) {
    return Dispatcher::Method("AuditService", function);
  }

  app::App& app_;
  Dispatcher& dispatcher_;
};

class StatusService final : public v1::StatusService::CallbackService {
 public:
  StatusService(app::App& app, Dispatcher& dispatcher) : app_(app), dispatcher_(dispatcher) {}

  Reactor* GetStatus(Context* context, const v1::GetStatusRequest* request,
                     v1::Status* answer) override {
    return dispatcher_.Run(Method(__func__), context, request, answer, app_.status,
                           &app::DaemonStatus::Get);
  }

 private:
  static Dispatcher::Named Method(std::string_view function) {
    return Dispatcher::Method("StatusService", function);
  }

  app::App& app_;
  Dispatcher& dispatcher_;
};

}  // namespace

void AddOperatorServices(app::App& app, Dispatcher& dispatcher, Services& services) {
  services.push_back(std::make_unique<ClassService>(app, dispatcher));
  services.push_back(std::make_unique<TokenService>(app, dispatcher));
  services.push_back(std::make_unique<FleetService>(app, dispatcher));
  services.push_back(std::make_unique<GroupService>(app, dispatcher));
  services.push_back(std::make_unique<OperatorService>(app, dispatcher));
  services.push_back(std::make_unique<AuditService>(app, dispatcher));
  services.push_back(std::make_unique<StatusService>(app, dispatcher));
}

}  // namespace quantfleet::daemon
