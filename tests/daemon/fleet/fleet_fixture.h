// The fleet's room with everything around it: a store, keys, shipped classes, a clock that the test
// moves.
#pragma once

#include <memory>
#include <string>

#include "common/base/random.h"
#include "common/trust/certificate.h"
#include "common/trust/token.h"
#include "daemon/fleet/fleet.h"
#include "daemon/rollout/rollouts.h"
#include "daemon/store/sqlite/sqlite_store.h"
#include "tests/daemon/store/once.h"
#include "tests/daemon/store/rehearsing_store.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace quantfleet::daemon {

// A device's side: a key made there, and what it sends.
struct FakeDevice {
  trust::KeyPair key = trust::GenerateTlsKey();
  std::string csr = trust::MakeCsr(key.private_pem, "device").value();
  v1::HardwareFacts facts;
  std::string id = trust::DeviceIdOf(trust::PublicKeyDigest(key.public_pem).value());

  explicit FakeDevice(std::string form = "iot", uint64_t memory_mib = 1024) {
    facts.set_arch("x86_64");
    facts.set_form(std::move(form));
    facts.set_memory_total_bytes(memory_mib << 20);
    facts.add_instruction_sets("avx2");
  }
};

class FleetFixture : public ::testing::Test {
 protected:
  explicit FleetFixture(Fleet::Options options = {})
      : store_(std::make_unique<RehearsingStore>(OpenSqliteStore(dir_ / "state.db").value())),
        authority_(Authority::Open(RealFileSystem(), clock_, dir_.path(), {}).value()),
        classes_(*store_),
        fleet_({*store_, *authority_, classes_, random_, clock_}, std::move(options)),
        rollouts_({*store_, *authority_, classes_, random_, clock_}) {
    EXPECT_OK(classes_.SeedShipped());
  }

  std::string Token(Fleet::TokenRequest request = {}) {
    const auto made = fleet_.CreateToken(request);
    EXPECT_OK(made.status());
    return made.ok() ? made->secret : "";
  }
  // As the device's agent asks, with a fresh proof. token empty: with nothing but its key.
  Fleet::Applicant Asking(const FakeDevice& device, std::string_view token = {}) {
    const std::string nonce = fleet_.MakeChallenge(device.id);
    const auto proof = trust::SignWithTlsKey(device.key.private_pem,
                                             AsBytes(Fleet::EnrollmentMessage(nonce, device.csr)));
    return {std::string(token),
            device.csr,
            device.facts,
            "test",
            {},
            Fleet::KeyProof{nonce, proof.value_or("")}};
  }
  absl::StatusOr<Fleet::Issued> Enroll(const FakeDevice& device, std::string_view token = {}) {
    return fleet_.Enroll(Asking(device, token));
  }
  // As agents of before ask, and whoever has seen a CSR.
  absl::StatusOr<Fleet::Issued> EnrollUnproven(const FakeDevice& device,
                                               std::string_view token = {}) {
    return fleet_.Enroll({std::string(token), device.csr, device.facts, "other", {}, {}});
  }
  // With a token of its own.
  Fleet::Issued Enrolled(FakeDevice& device) {
    const auto identity = Enroll(device, Token());
    EXPECT_OK(identity.status());
    if (!identity.ok()) return {};
    device.id = identity->device_id;
    return *identity;
  }

  // As the use cases have them, a transaction each.
  absl::StatusOr<v1::Device> CheckIn(std::string_view id, std::string_view agent_version,
                                     const v1::HardwareFacts* facts,
                                     const std::vector<v1::ModelStatus>& models) {
    return store_->Write([&](Transaction& tx) -> absl::StatusOr<v1::Device> {
      QF_ASSIGN_OR_RETURN(const v1::Device device, tx.devices().Get(id));
      return fleet_.CheckIn(tx, device, agent_version, facts, models);
    });
  }
  absl::StatusOr<v1::Device> Authenticate(const trust::CertificateInfo& certificate) {
    return store_->Read(
        [&](const Transaction& tx) { return fleet_.Authenticate(tx, certificate); });
  }
  absl::StatusOr<v1::Device> Revoke(std::string_view id) {
    return store_->Write([&](Transaction& tx) { return fleet_.Revoke(tx, id); });
  }
  absl::StatusOr<std::vector<v1::PendingDevice>> Pending() {
    return store_->Read([&](const Transaction& tx) { return fleet_.Pending(tx); });
  }
  absl::StatusOr<Fleet::Approved> Approve(std::string_view id) {
    return store_->Write([&](Transaction& tx) { return fleet_.Approve(tx, id); });
  }
  absl::Status Report(std::string_view id, const std::vector<v1::ModelStatus>& models) {
    return store_->Write([&](Transaction& tx) { return rollouts_.Report(tx, id, models); });
  }
  absl::Status Skip(std::string_view id, std::string_view reason) {
    return store_->Write([&](Transaction& tx) { return rollouts_.Skip(tx, id, reason); });
  }

  testing::TempDir dir_;
  ManualClock clock_;
  SeededRandom random_{1};
  std::unique_ptr<Store> store_;
  std::unique_ptr<Authority> authority_;
  ClassRegistry classes_;
  Fleet fleet_;
  Rollouts rollouts_;
};

}  // namespace quantfleet::daemon
