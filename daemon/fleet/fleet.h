// Devices come and stay: tokens, enrolment, renewal of certificates, check-ins, revocation.
//
// A device's key is made on the device; the daemon knows its public key's digest and nothing else about it. The device's
// id follows from that digest, so that the same key is the same device. Thread-safe; collaborators must outlive it.
#pragma once

#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/trust/certificate.h"
#include "daemon/fleet/challenge.h"
#include "daemon/fleet/class_registry.h"
#include "daemon/fleet/counters.h"
#include "daemon/store/store.h"
#include "daemon/trust/authority.h"

namespace quantfleet::daemon {

class Fleet {
 public:
  struct Options {
    Duration certificate_lifetime = std::chrono::hours(7 * 24);
    Duration check_in = std::chrono::seconds(30);
  };
  struct Collaborators {
    Store& store;
    const Authority& authority;
    ClassRegistry& classes;
    Random& random;
    const Clock& clock;
  };
  Fleet(Collaborators with, Options options);

  // ---- tokens (tokens.cc)
  struct TokenRequest {
    std::string request_id, description;
    uint32_t max_uses = 0;    // 0: no limit
    int64_t ttl_seconds = 0;  // 0: 24 hours
    Labels labels;
  };
  struct NewToken {
    v1::EnrolmentToken token;
    std::string secret;
  };
  // The secret leaves once and only its hash is kept. The same request again within ten minutes, in the same process,
  // gets the same secret, for a caller whose connection broke; later it is ALREADY_EXISTS.
  absl::StatusOr<NewToken> CreateToken(const TokenRequest& request);

  // ---- enrolment and renewal (enrolment.cc)
  struct Identity {
    std::string device_id, certificate_pem, device_class;
  };
  // UNAUTHENTICATED: no such token; PERMISSION_DENIED: expired, used up or revoked, or the key's device is revoked;
  // INVALID_ARGUMENT: the CSR or the facts.
  absl::StatusOr<Identity> Enrol(std::string_view token, std::string_view csr_pem, const v1::HardwareFacts& facts,
                                 std::string_view agent_version);
  std::string MakeChallenge(std::string_view device_id) { return challenges_.Make(device_id); }
  // proof: by the device's key over RenewalMessage. UNAUTHENTICATED: stale challenge, other key; NOT_FOUND: no such
  // device; PERMISSION_DENIED: revoked.
  absl::StatusOr<Identity> Renew(std::string_view device_id, std::string_view csr_pem, std::string_view nonce,
                                 std::string_view proof);
  static std::string RenewalMessage(std::string_view nonce, std::string_view csr_pem);

  // ---- devices (devices.cc)
  // The ACTIVE device that holds this certificate. UNAUTHENTICATED: not a device's certificate, unknown device or other
  // key; PERMISSION_DENIED: revoked.
  absl::StatusOr<v1::Device> Authenticate(const trust::CertificateInfo& certificate);
  // Facts unset: as before. Classified anew each time; the device as it is now.
  // `trust_root_version`: what the device holds; 0: it does not say.
  absl::StatusOr<v1::Device> CheckIn(std::string_view device_id, std::string_view agent_version,
                                     const v1::HardwareFacts* facts, const std::vector<v1::ModelStatus>& models,
                                     uint32_t trust_root_version = 0);
  absl::StatusOr<v1::Device> Revoke(std::string_view device_id);
  // The device may be given again what it stepped down from. `model`: empty: of all models.
  absl::StatusOr<v1::Device> ForgetOutgrown(std::string_view device_id, std::string_view model);
  // Labels in `set` are added or replaced, those in `remove` go. Classified anew.
  absl::StatusOr<v1::Device> Label(std::string_view device_id, const Labels& set, const std::vector<std::string>& remove);

  Duration check_in() const { return options_.check_in; }
  FleetCounters& counters() { return counters_; }

 private:
  absl::StatusOr<Identity> Issue(const v1::Device& device, std::string_view public_pem);
  absl::StatusOr<Identity> EnrolCounted(std::string_view token, std::string_view csr_pem,
                                        const v1::HardwareFacts& facts, std::string_view agent_version);
  absl::StatusOr<Identity> RenewCounted(std::string_view device_id, std::string_view csr_pem, std::string_view nonce,
                                        std::string_view proof);

  const Collaborators with_;
  const Options options_;
  ChallengeBook challenges_;
  FleetCounters counters_;

  struct RecentToken {
    std::string request_id;
    NewToken answer;
    Duration made;
  };
  std::mutex recent_mutex_;  // guards recent_; also makes CreateToken one at a time
  std::vector<RecentToken> recent_;
};

inline constexpr size_t kMostLabels = 32, kMostLabelText = 256;  // labels of one thing; bytes of a key or a value
inline constexpr size_t kMostVersionBytes = 128;                 // an agent's version

// What comes from outside: bounded lists, bounded strings. INVALID_ARGUMENT names the field.
absl::Status CheckFacts(const v1::HardwareFacts& facts);
absl::Status CheckLabels(const Labels& labels);
absl::Status CheckStatuses(const std::vector<v1::ModelStatus>& models);

}  // namespace quantfleet::daemon
