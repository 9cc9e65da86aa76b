// All use cases over a real store and real keys, without a server.
#pragma once

#include <google/protobuf/descriptor.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "daemon/app/app.h"
#include "pipeline/artifact/folder/folder_blob_store.h"
#include "tests/daemon/fleet/fleet_fixture.h"

namespace quantfleet::daemon::app {

class AppFixture : public FleetFixture {
 protected:
  AppFixture()
      : blobs_(RealFileSystem(), dir_ / "blobs"),
        models_(*store_, RealFileSystem(), random_, clock_, dir_.path()),
        jobs_({*store_, *authority_, blobs_, RealFileSystem(), random_, clock_}, {}),
        scrubber_({*store_, blobs_, RealFileSystem(), jobs_, clock_}, {}),
        operators_({*store_, *authority_, fleet_.challenges(), random_, clock_}),
        app_({*store_, *authority_, models_, jobs_, scrubber_, blobs_, classes_, fleet_, rollouts_,
              operators_, clock_},
             {.log = [this](const Event& event) { events_.push_back(event); }}) {
    EXPECT_OK(operators_.Open());
  }

  // "ROLE-user", who has logged in; the same one each time.
  Caller Operator(std::string_view role) {
    auto& caller = callers_[std::string(role)];
    if (!caller.certificate_pem.empty()) return caller;
    const auto made = operators_.Create({{}, std::string(role) + "-user", std::string(role)});
    EXPECT_OK(made.status());
    caller = {LogIn(made->code).value().certificate_pem, "192.0.2.1"};
    return caller;
  }
  // With a new key, or with the one given.
  absl::StatusOr<Operators::LoggedIn> LogIn(const std::string& code,
                                            const trust::KeyPair& key = trust::GenerateTlsKey()) {
    const std::string csr = trust::MakeCsr(key.private_pem, "operator").value();
    const std::string nonce =
        fleet_.MakeChallenge(trust::DeviceIdOf(trust::PublicKeyDigest(key.public_pem).value()));
    return operators_.Login(
        {code, csr, nonce,
         trust::SignWithTlsKey(key.private_pem, AsBytes(Operators::LoginMessage(nonce, csr)))
             .value()});
  }
  // As a translator runs a method.
  template <typename Subject, typename Request, typename Answer>
  absl::StatusOr<Answer> Call(std::string_view method, const Caller& caller, Subject& subject,
                              absl::StatusOr<Answer> (Subject::*use_case)(const Caller&,
                                                                          const Request&),
                              const Request& request) {
    const auto* const named = google::protobuf::DescriptorPool::generated_pool()->FindMethodByName(
        "quantfleet.v1." + std::string(method));
    Answer answer;
    QF_RETURN_IF_ERROR(app_.calls.Run({caller, *named, &request, &answer}, [&]() -> absl::Status {
      QF_ASSIGN_OR_RETURN(answer, (subject.*use_case)(caller, request));
      return absl::OkStatus();
    }));
    return answer;
  }
  std::vector<v1::AuditEntry> Audit() {
    AuditStore::Filter all;
    all.oldest_first = true;
    return store_->Read([&](const Transaction& tx) { return tx.audit().List(all, 0, 1000); })
        .value();
  }
  Caller Device() {
    FakeDevice device;
    return {Enrolled(device).certificate_pem};
  }

  pipeline::FolderBlobStore blobs_;
  ModelRegistry models_;
  JobRunner jobs_;
  Scrubber scrubber_;
  Operators operators_;
  std::vector<Event> events_;
  std::map<std::string, Caller> callers_;
  App app_;
};

}  // namespace quantfleet::daemon::app
