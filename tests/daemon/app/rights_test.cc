// Who may do what: every use case, asked by everybody. What comes of the request itself does not
// matter here, as long as it is not refused for who asks.
#include <gmock/gmock.h>

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "common/trust/openssl_handles.h"
#include "tests/daemon/app/app_fixture.h"

namespace quantfleet::daemon::app {
namespace {

struct UseCase {
  std::string name;
  std::function<absl::Status(App&, const Caller&)> ask;
};

template <typename Subject, typename Request, typename Answer>
UseCase Of(std::string name, Subject App::* subject,
           absl::StatusOr<Answer> (Subject::*use_case)(const Caller&, const Request&),
           Request request = {}) {
  return {std::move(name), [=](App& app, const Caller& caller) {
            return ((app.*subject).*use_case)(caller, request).status();
          }};
}

std::vector<UseCase> ForViewers() {
  v1::CreateRolloutRequest rollout;
  rollout.set_dry_run(true);
  v1::BeginPushRequest push;
  push.set_dry_run(true);
  v1::CollectGarbageRequest garbage;
  garbage.set_dry_run(true);
  return {Of("models.BeginPush as a dry run", &App::models, &Models::BeginPush, push),
          Of("rollouts.Create as a dry run", &App::rollouts, &RolloutCalls::Create, rollout),
          Of("artifacts.CollectGarbage as a dry run", &App::artifacts, &Artifacts::CollectGarbage,
             garbage),
          Of("operators.List", &App::operators, &OperatorCalls::List),
          Of("operators.Get", &App::operators, &OperatorCalls::Get),
          Of("models.List", &App::models, &Models::List),
          Of("models.Get", &App::models, &Models::Get),
          Of("jobs.Get", &App::jobs, &Jobs::Get),
          Of("jobs.List", &App::jobs, &Jobs::List),
          Of("jobs.Watch", &App::jobs, &Jobs::Watch),
          Of("artifacts.List", &App::artifacts, &Artifacts::List),
          Of("artifacts.Get", &App::artifacts, &Artifacts::Get),
          Of("artifacts.WatchScrub", &App::artifacts, &Artifacts::WatchScrub),
          Of("classes.List", &App::classes, &Classes::List),
          Of("tokens.List", &App::tokens, &Tokens::List),
          Of("devices.List", &App::devices, &Devices::List),
          Of("devices.Get", &App::devices, &Devices::Get),
          Of("devices.ListAllowed", &App::devices, &Devices::ListAllowed),
          Of("devices.ListPending", &App::devices, &Devices::ListPending),
          Of("groups.List", &App::groups, &Groups::List),
          Of("groups.Get", &App::groups, &Groups::Get),
          Of("rollouts.Get", &App::rollouts, &RolloutCalls::Get),
          Of("rollouts.List", &App::rollouts, &RolloutCalls::List),
          Of("rollouts.Watch", &App::rollouts, &RolloutCalls::Watch),
          Of("status.Get", &App::status, &DaemonStatus::Get)};
}

std::vector<UseCase> ForPublishers() {
  return {
      Of("models.Import", &App::models, &Models::Import),
      Of("models.BeginPush", &App::models, &Models::BeginPush),
      {"models.OpenPush",
       [](App& app, const Caller& caller) { return app.models.OpenPush(caller, "p").status(); }},
      Of("models.CommitPush", &App::models, &Models::CommitPush),
      Of("jobs.Submit", &App::jobs, &Jobs::Submit),
      Of("jobs.Cancel", &App::jobs, &Jobs::Cancel),
      Of("artifacts.Delete", &App::artifacts, &Artifacts::Delete),
      Of("artifacts.CollectGarbage", &App::artifacts, &Artifacts::CollectGarbage),
      Of("artifacts.Repair", &App::artifacts, &Artifacts::Repair),
      Of("classes.Apply", &App::classes, &Classes::Apply),
      Of("groups.Apply", &App::groups, &Groups::Apply),
      Of("groups.Delete", &App::groups, &Groups::Delete),
      Of("rollouts.Create", &App::rollouts, &RolloutCalls::Create),
      Of("rollouts.Pause", &App::rollouts, &RolloutCalls::Pause),
      Of("rollouts.Resume", &App::rollouts, &RolloutCalls::Resume),
      Of("rollouts.Approve", &App::rollouts, &RolloutCalls::Approve),
      Of("rollouts.Abort", &App::rollouts, &RolloutCalls::Abort),
      Of("rollouts.RollBack", &App::rollouts, &RolloutCalls::RollBack),
      Of("rollouts.AllowDownload", &App::rollouts, &RolloutCalls::AllowDownload)};
}

std::vector<UseCase> ForAdmins() {
  v1::ImportModelRequest program;
  program.set_name("quantfleet-agent");
  v1::BeginPushRequest pushed_program;
  pushed_program.set_name("quantfleet-agent");
  return {Of("models.Import of a program", &App::models, &Models::Import, program),
          Of("models.BeginPush of a program", &App::models, &Models::BeginPush, pushed_program),
          Of("artifacts.Scrub", &App::artifacts, &Artifacts::Scrub),
          Of("tokens.Create", &App::tokens, &Tokens::Create),
          Of("tokens.Revoke", &App::tokens, &Tokens::Revoke),
          Of("devices.Revoke", &App::devices, &Devices::Revoke),
          Of("devices.ForgetOutgrown", &App::devices, &Devices::ForgetOutgrown),
          Of("devices.Label", &App::devices, &Devices::Label),
          Of("devices.Allow", &App::devices, &Devices::Allow),
          Of("devices.Disallow", &App::devices, &Devices::Disallow),
          Of("devices.Approve", &App::devices, &Devices::Approve),
          Of("devices.Reject", &App::devices, &Devices::Reject),
          Of("operators.Create", &App::operators, &OperatorCalls::Create),
          Of("operators.Revoke", &App::operators, &OperatorCalls::Revoke),
          Of("operators.Rotate", &App::operators, &OperatorCalls::Rotate),
          Of("audit.List", &App::audit, &app::Audit::List)};
}

std::vector<UseCase> ForDevices() {
  return {Of("device_calls.CheckIn", &App::device_calls, &DeviceCalls::CheckIn),
          Of("device_calls.GetArtifact", &App::device_calls, &DeviceCalls::GetArtifact)};
}

class RightsTest : public AppFixture {
 protected:
  RightsTest() { jobs_.Stop(); }  // what is asked of it is refused, and nobody waits

  void ExpectAllowed(const std::vector<UseCase>& cases, const Caller& caller) {
    for (const UseCase& use_case : cases) {
      const absl::Status status = use_case.ask(app_, caller);
      EXPECT_NE(status.code(), absl::StatusCode::kUnauthenticated) << use_case.name;
      // A device that asks for what is not assigned to it is refused by the same code.
      if (!use_case.name.ends_with("GetArtifact")) {
        EXPECT_NE(status.code(), absl::StatusCode::kPermissionDenied) << use_case.name << status;
      }
    }
  }
  void ExpectRefused(const std::vector<UseCase>& cases, const Caller& caller,
                     absl::StatusCode code) {
    for (const UseCase& use_case : cases)
      EXPECT_EQ(use_case.ask(app_, caller).code(), code) << use_case.name;
  }
};

TEST_F(RightsTest, OperatorsMayWhatTheirRoleMayAndWhatLesserOnesMay) {
  using enum absl::StatusCode;
  const Caller viewer = Operator("viewer"), publisher = Operator("publisher"),
               admin = Operator("admin");
  for (const Caller& caller : {viewer, publisher, admin}) ExpectAllowed(ForViewers(), caller);
  for (const Caller& caller : {publisher, admin}) ExpectAllowed(ForPublishers(), caller);
  ExpectAllowed(ForAdmins(), admin);
  ExpectRefused(ForPublishers(), viewer, kPermissionDenied);
  for (const Caller& caller : {viewer, publisher})
    ExpectRefused(ForAdmins(), caller, kPermissionDenied);
  for (const Caller& caller : {viewer, publisher, admin})
    ExpectRefused(ForDevices(), caller, kPermissionDenied);
}

// The caller's certificate with another role, of the same length. Its signature no longer holds,
// but that is for the TLS handshake to find.
Caller WithRole(const Caller& caller, const std::string& from, const std::string& to) {
  const auto certificates = trust::ReadCertificates(caller.certificate_pem).value();
  unsigned char* encoded = nullptr;
  const int size = i2d_X509(certificates.front().get(), &encoded);
  std::string der(reinterpret_cast<const char*>(encoded), static_cast<size_t>(size));
  OPENSSL_free(encoded);
  der.replace(der.find("?role=" + from), from.size() + 6, "?role=" + to);
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  const trust::X509Ptr forged(trust::Must(d2i_X509(nullptr, &at, size)));
  return {trust::CertificateToPem(forged.get())};
}

// No certificate with such a role is issued, and one that names it all the same is not read.
TEST_F(RightsTest, RolesThatNobodyKnowsMayNothing) {
  const trust::KeyPair key = trust::GenerateTlsKey();
  EXPECT_ERROR(authority_->IssueOperator(key.public_pem, "eve", "emperor", std::chrono::hours(1)),
               kInvalidArgument, "'emperor'", "admin, publisher or viewer");
  const Caller admin = Operator("admin");
  EXPECT_EQ(WithRole(admin, "admin", "admin").certificate_pem, admin.certificate_pem);
  const Caller caller = WithRole(admin, "admin", "baron");
  for (const auto& cases : {ForViewers(), ForPublishers(), ForAdmins(), ForDevices()})
    ExpectRefused(cases, caller, absl::StatusCode::kInvalidArgument);
  EXPECT_ERROR(app_.status.Get(caller, {}), kInvalidArgument,
               "'quantfleet://operator/admin-user?role=baron'");
}

TEST_F(RightsTest, DevicesMayWhatDevicesMay) {
  const Caller device = Device();
  ExpectAllowed(ForDevices(), device);
  for (const auto& cases : {ForViewers(), ForPublishers(), ForAdmins()})
    ExpectRefused(cases, device, absl::StatusCode::kPermissionDenied);
}

TEST_F(RightsTest, StrangersMayEnrollAndNothingElse) {
  const Caller stranger;
  for (const auto& cases : {ForViewers(), ForPublishers(), ForAdmins(), ForDevices()})
    ExpectRefused(cases, stranger, absl::StatusCode::kUnauthenticated);
  EXPECT_OK(app_.device_calls.GetChallenge(stranger, {}).status());
  FakeDevice device;
  v1::EnrollRequest request;
  request.set_token(Token());
  request.set_csr_pem(device.csr);
  *request.mutable_facts() = device.facts;
  EXPECT_OK(app_.device_calls.Enroll(stranger, request).status());
}

TEST_F(RightsTest, RevokedOperatorsMayNothing) {
  const Caller viewer = Operator("viewer");
  v1::RevokeOperatorRequest request;
  request.set_name("viewer-user");
  ASSERT_OK(app_.operators.Revoke(Operator("admin"), request).status());
  ExpectRefused(ForViewers(), viewer, absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(app_.device_calls.MayReadBlobs(*trust::ReadCertificate(viewer.certificate_pem)).code(),
            absl::StatusCode::kPermissionDenied);
}

// Each use case is asked above: those of the services are as many.
TEST_F(RightsTest, NoMethodOfAServiceIsForgotten) {
  size_t methods = 0;
  const auto& file = *v1::GetStatusRequest::descriptor()->file();
  for (int i = 0; i < file.service_count(); ++i)
    methods += static_cast<size_t>(file.service(i)->method_count());
  std::set<std::string> asked{"operators.Login"};  // by anybody
  for (const auto& cases : {ForViewers(), ForPublishers(), ForAdmins()})
    for (const UseCase& use_case : cases)
      asked.insert(use_case.name.substr(0, use_case.name.find(' ')));
  EXPECT_EQ(asked.size(), methods);
}

TEST_F(RightsTest, RevokedDevicesMayNothing) {
  FakeDevice device;
  const Caller caller{Enrolled(device).certificate_pem};
  v1::GetDeviceRequest request;
  request.set_id(device.id);
  ASSERT_OK(app_.devices.Revoke(Operator("admin"), request).status());
  ExpectRefused(ForDevices(), caller, absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(app_.device_calls.MayReadBlobs(*trust::ReadCertificate(caller.certificate_pem)).code(),
            absl::StatusCode::kPermissionDenied);
}

}  // namespace
}  // namespace quantfleet::daemon::app
