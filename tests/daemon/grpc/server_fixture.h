// A whole daemon in this process, on free ports and a folder of its own, and clients that call it
// over real TLS.
#pragma once

#include <grpcpp/grpcpp.h>

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "common/base/random.h"
#include "common/http/https_client.h"
#include "common/net/channel.h"
#include "common/trust/certificate.h"
#include "daemon/server.h"
#include "daemon/store/sqlite/sqlite_store.h"
#include "daemon/trust/authority.h"
#include "quantfleet/v1/device.grpc.pb.h"
#include "quantfleet/v1/operator.grpc.pb.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_model.h"

namespace quantfleet::daemon {

class ServerFixture : public ::testing::Test {
 protected:
  ServerFixture() { Start(); }

  void Start() {
    config_.data = dir_ / "data";
    config_.listen.port = config_.http.port = 0;
    config_.threads = 1;
    auto server =
        Server::Start(config_, {RealFileSystem(), clock_, random_, [this](std::string_view line) {
                                  const std::lock_guard lock(log_mutex_);
                                  log_ += std::string(line) + "\n";
                                }});
    ASSERT_OK(server.status());
    server_ = *std::move(server);
    // The same keys, for issuing what the daemon has no call for yet.
    authority_ = Authority::Open(RealFileSystem(), clock_, config_.data, {"127.0.0.1"}).value();
  }

  std::string Logged() {
    const std::lock_guard lock(log_mutex_);
    return log_;
  }
  net::ServerTrust Trust() const { return {authority_->authorities_pem(), {}, {}}; }
  // "ROLE-user", with a record beside the daemon's own; the same one each time.
  net::ClientIdentity Operator(const std::string& role) const {
    net::ClientIdentity& known = operators_[role];
    if (!known.certificate_pem.empty()) return known;
    const trust::KeyPair key = trust::GenerateTlsKey();
    OperatorStore::Kept kept;
    kept.record.set_name(role + "-user");
    kept.record.set_role(role);
    kept.record.set_public_key(trust::PublicKeyDigest(key.public_pem)->raw());
    const auto store = OpenSqliteStore(config_.data / "state.db").value();
    EXPECT_OK(
        store->Write([&](Transaction& tx) { return tx.operators().Create(kept, {}); }).status());
    known = {authority_->IssueOperator(key.public_pem, role + "-user", role, std::chrono::hours(1))
                 .value(),
             key.private_pem};
    return known;
  }
  template <typename Service>
  std::unique_ptr<typename Service::Stub> Stub(const net::ClientIdentity& identity) const {
    return Service::NewStub(net::MakeChannel(ToString(server_->grpc()), Trust(), identity));
  }

  // One unary call, as absl::StatusOr.
  template <typename Answer, typename Stub, typename Question>
  static absl::StatusOr<Answer> Call(const std::unique_ptr<Stub>& stub,
                                     grpc::Status (Stub::*method)(grpc::ClientContext*,
                                                                  const Question&, Answer*),
                                     const std::type_identity_t<Question>& question) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    Answer answer;
    const grpc::Status status = (stub.get()->*method)(&context, question, &answer);
    if (!status.ok()) return net::FromGrpc(status, context);
    return answer;
  }

  testing::TempDir dir_;
  Config config_;
  RealClock clock_;
  SecureRandom random_;
  std::mutex log_mutex_;
  std::string log_;  // guarded by log_mutex_
  mutable std::map<std::string, net::ClientIdentity> operators_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<Authority> authority_;
};

}  // namespace quantfleet::daemon
