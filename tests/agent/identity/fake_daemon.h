// The daemon's half of enrollment and renewal, in memory, with a real CA and a clock of its own. It
// checks what a daemon checks. For tests; not thread-safe.
#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/identity/device_api.h"
#include "agent/identity/identity_store.h"
#include "common/net/server_check.h"
#include "common/trust/certificate.h"
#include "common/trust/keys.h"
#include "common/trust/statement.h"
#include "common/trust/token.h"

namespace quantfleet::agent {

class FakeDaemon {
 public:
  FakeDaemon() { server_chain_ = NewServerChain(); }

  // As after a restart that renewed the server's certificate.
  std::string NewServerChain() const {
    const trust::KeyPair key = trust::GenerateTlsKey();
    return *ca_.Issue(key.public_pem,
                      {trust::Subject::Kind::kServer, "quantfleetd", "", {"localhost"}, {}},
                      std::chrono::hours(24 * 90), clock_) +
           ca_.certificate_pem();
  }

  std::string Token() { return trust::ClaimToken::Make(random_, ca_.fingerprint()).ToString(); }

  Connector connector() {
    return [this](const std::string& address, const net::ServerTrust& trust,
                  const net::ClientIdentity& client) {
      ++connections;
      return std::make_shared<Line>(*this, address, trust, client);
    };
  }

  std::string AuthoritiesPem() const {
    return ca_.certificate_pem() + (next_ca_ ? next_ca_->certificate_pem() : "");
  }

  // The whole life of the daemon, and how often each call was let in.
  ManualClock clock_{FromUnixMillis(1'800'000'000'000)};
  SeededRandom random_{3};
  trust::CertificateAuthority ca_ = trust::CertificateAuthority::Create("fake", clock_);
  std::optional<trust::CertificateAuthority> next_ca_;  // while the CA is changed; of trust root 2
  trust::SigningKey signing_ = trust::SigningKey::Generate();
  std::string server_chain_;
  Duration lifetime = std::chrono::hours(24 * 7);
  bool revoked = false, away = false;
  std::optional<v1::Signed> trust_root;  // what a check-in brings
  std::vector<v1::Signed> trust_roots;   // what a check-in and a renewal bring
  Duration time_lie{0};                  // added to the time that it says, and to nothing else
  uint32_t heard_trust_root_version = 0;
  std::string fleet_endpoint;    // what a check-in brings
  std::set<std::string> silent;  // addresses that do not answer
  std::string checked_in_at;     // the address
  v1::CheckInRequest last_check_in;
  int connections = 0, enrollments = 0, renewals = 0, check_ins = 0, challenges = 0;
  std::vector<std::string> request_ids;
  std::vector<std::string> keys;  // public, of each enrollment
  v1::EnrollRequest last_request;
  std::function<absl::Status(const v1::EnrollRequest&)>
      refuse;  // enrollments, unless it is OK with them
  std::function<void(v1::Identity*)> spoil_identity;

 private:
  class Line final : public DeviceApi {
   public:
    Line(FakeDaemon& daemon, std::string address, net::ServerTrust trust,
         net::ClientIdentity client)
        : daemon_(daemon),
          address_(std::move(address)),
          trust_(std::move(trust)),
          client_(std::move(client)) {}

    absl::StatusOr<v1::Identity> Enroll(const v1::EnrollRequest& request) override {
      QF_RETURN_IF_ERROR(Handshake());
      ++daemon_.enrollments;
      daemon_.request_ids.push_back(request.request_id());
      daemon_.last_request = request;
      if (daemon_.refuse) QF_RETURN_IF_ERROR(daemon_.refuse(request));
      QF_ASSIGN_OR_RETURN(const std::string key, trust::CsrPublicKey(request.csr_pem()));
      const std::string message =
          trust::ProofMessage("EnrollKey", request.nonce(), request.csr_pem());
      if (!trust::VerifyWithPublicKey(key, AsBytes(message), request.proof()))
        return Unauthenticated("wrong proof");
      daemon_.keys.push_back(key);
      return daemon_.Grant(key);
    }
    absl::StatusOr<v1::Challenge> GetChallenge(const v1::GetChallengeRequest&) override {
      QF_RETURN_IF_ERROR(Handshake());
      ++daemon_.challenges;
      v1::Challenge challenge;
      challenge.set_nonce("nonce-" + std::to_string(daemon_.challenges));
      challenge.set_server_time_ms(daemon_.SaidTime());
      return challenge;
    }
    absl::StatusOr<v1::Identity> Renew(const v1::RenewRequest& request) override {
      QF_RETURN_IF_ERROR(Handshake());
      EXPECT_TRUE(client_.certificate_pem.empty()) << "renewal must not need the old certificate";
      if (daemon_.revoked) return PermissionDenied("device is revoked");
      QF_ASSIGN_OR_RETURN(const std::string key, trust::CsrPublicKey(request.csr_pem()));
      using namespace std::string_literals;
      const std::string message =
          "quantfleet.v1.Renew\0"s + request.nonce() + "\0"s + HashText(request.csr_pem()).raw();
      if (!trust::VerifyWithPublicKey(key, AsBytes(message), request.proof()))
        return Unauthenticated("wrong proof");
      ++daemon_.renewals;
      auto granted = daemon_.Grant(key, request.trust_root_version());
      if (granted.ok())
        for (const v1::Signed& root : daemon_.trust_roots) *granted->add_trust_roots() = root;
      return granted;
    }
    absl::StatusOr<v1::CheckInResponse> CheckIn(const v1::CheckInRequest& request) override {
      QF_RETURN_IF_ERROR(Handshake());
      if (client_.certificate_pem.empty()) return Unauthenticated("no certificate");
      if (daemon_.revoked) return PermissionDenied("device is revoked");
      ++daemon_.check_ins;
      daemon_.checked_in_at = address_;
      daemon_.last_check_in = request;
      daemon_.heard_trust_root_version = request.trust_root_version();
      v1::CheckInResponse response;
      response.set_server_time_ms(daemon_.SaidTime());
      response.set_blob_endpoint(":9443");
      response.set_fleet_endpoint(daemon_.fleet_endpoint);
      if (daemon_.trust_root) *response.mutable_trust_root() = *daemon_.trust_root;
      for (const v1::Signed& root : daemon_.trust_roots) *response.add_trust_roots() = root;
      return response;
    }
    absl::StatusOr<v1::DeviceArtifact> GetArtifact(const v1::GetDeviceArtifactRequest&) override {
      return Unimplemented("not here");
    }
    void Cancel() override { cancelled_ = true; }

   private:
    // As TLS does it: either side's refusal is UNAVAILABLE to the caller.
    absl::Status Handshake() {
      if (cancelled_) return Cancelled("stopped");
      if (daemon_.away || daemon_.silent.contains(address_))
        return Unavailable("connection refused");
      const absl::Status server = net::CheckServer(daemon_.server_chain_, trust_);
      if (!server.ok()) return Unavailable("handshake: {}", Message(server));
      if (client_.certificate_pem.empty()) return absl::OkStatus();
      const absl::Status client = trust::VerifyChain(
          client_.certificate_pem, daemon_.AuthoritiesPem(), false, daemon_.clock_.Now());
      return client.ok() ? client : Unavailable("handshake: {}", Message(client));
    }

    FakeDaemon& daemon_;
    const std::string address_;
    const net::ServerTrust trust_;
    const net::ClientIdentity client_;
    bool cancelled_ = false;
  };

  int64_t SaidTime() const { return ToUnixMillis(clock_.Now() + time_lie); }

  absl::StatusOr<v1::Identity> Grant(const std::string& public_pem, uint32_t knows = 0) {
    const trust::CertificateAuthority& issuer = next_ca_ && knows >= 2 ? *next_ca_ : ca_;
    v1::Identity identity;
    identity.set_device_id("dev-1");
    QF_ASSIGN_OR_RETURN(
        *identity.mutable_certificate_pem(),
        issuer.Issue(public_pem, {trust::Subject::Kind::kDevice, "dev-1", "", {}, {}}, lifetime,
                     clock_));
    v1::TrustRoot* root = identity.mutable_trust_root();
    root->set_version(next_ca_ ? 2 : 1);
    root->set_ca_pem(AuthoritiesPem());
    v1::VerifyKey* key = root->add_keys();
    key->set_key_id(signing_.key_id());
    key->set_public_key(signing_.public_key());
    key->add_payload_types(std::string(trust::kTrustRootType));
    identity.set_blob_endpoint(":8443");
    identity.set_device_class("iot-int4");
    identity.set_server_time_ms(SaidTime());
    if (spoil_identity) spoil_identity(&identity);
    return identity;
  }
};

}  // namespace quantfleet::agent
