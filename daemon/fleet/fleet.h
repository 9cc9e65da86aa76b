// The life of devices in the fleet: tokens, enrollment, pending devices, renewal of certificates,
// check-ins, revocation.
//
// A device's key is made on the device; the daemon knows nothing about it but its public key's
// digest. The device's id follows from that digest, so that the same key is the same device.
// Thread-safe; collaborators must outlive it.
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
#include "daemon/fleet/refusals.h"
#include "daemon/store/store.h"
#include "daemon/trust/authority.h"

namespace quantfleet::daemon {

class Fleet {
 public:
  struct Options {
    Duration certificate_lifetime = std::chrono::hours(7 * 24);
    Duration check_in = std::chrono::seconds(30);
    size_t queue =
        0;  // how many devices that nothing admits may wait for an operator; 0: they are refused
    std::string customer_ca_pem;  // CAs whose certificates let devices in, as
                                  // trust::CheckAuthorities has them
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
    std::string
        device_class;  // empty: the best that matches; NOT_FOUND when there is none of that name
    uint32_t rate_per_hour = 0;  // 0: no limit
    bool approval = false;
  };
  struct NewToken {
    v1::EnrollmentToken token;
    std::string secret;
  };
  // The secret is shown once, and only its hash is kept. The same request again within ten minutes,
  // in the same process, gets the same secret, for a caller whose connection broke; later it is
  // ALREADY_EXISTS.
  absl::StatusOr<NewToken> CreateToken(const TokenRequest& request);
  // Devices that it admitted and that are still pending are forgotten; enrolled ones stay enrolled.
  absl::StatusOr<v1::EnrollmentToken> RevokeToken(std::string_view id);

  // ---- enrollment and renewal (enrollment.cc)
  struct Issued {
    std::string device_id, certificate_pem, device_class;
  };
  struct CustomerProof {
    std::string certificate_pem, nonce, proof;  // as device.proto has them
  };
  struct KeyProof {
    std::string nonce, proof;  // by the CSR's key over EnrollmentMessage
  };
  // What a device sends. A token or a customer's certificate admits it; without either, only the
  // allowlist may. Without a proof the sender may be anybody who has seen the CSR, or an old agent.
  struct Applicant {
    std::string token, csr_pem;
    v1::HardwareFacts facts;
    std::string agent_version;
    std::optional<CustomerProof> customer;
    std::optional<KeyProof> proof;
    std::string address = {};  // of the other end, without its port; empty: not known
  };
  // Every way in ends here; they differ in what admits the device (admission.cc). A key that is
  // enrolled gets its device back; without a proof it gets a certificate, and nothing is written:
  // not of a device, not of one that waits. UNAUTHENTICATED: the token, the certificate or the
  // proof is no good; PERMISSION_DENIED: expired, used up, revoked, not expected, or the key's
  // device is revoked; INVALID_ARGUMENT: the CSR or the facts. With a retry-after:
  // RESOURCE_EXHAUSTED, the token's rate, the queue's bounds, or the address was refused too often
  // (refusals.h); FAILED_PRECONDITION: the device
  // waits for an operator, and asks again.
  absl::StatusOr<Issued> Enroll(const Applicant& applicant);
  static std::string EnrollmentMessage(std::string_view nonce, std::string_view csr_pem);
  std::string MakeChallenge(std::string_view device_id) { return challenges_.Make(device_id); }
  ChallengeBook& challenges() { return challenges_; }
  // proof: by the device's key over RenewalMessage. UNAUTHENTICATED: stale challenge or another
  // key; NOT_FOUND: no such device; PERMISSION_DENIED: revoked. `trust_root_version`: that the
  // device holds; 0: an agent that does not say.
  absl::StatusOr<Issued> Renew(std::string_view device_id, std::string_view csr_pem,
                               std::string_view nonce, std::string_view proof,
                               uint32_t trust_root_version = 0);
  static std::string RenewalMessage(std::string_view nonce, std::string_view csr_pem);

  // ---- the allowlist (admission.cc) Each names a device id, or a public key from which the id
  // follows. ALREADY_EXISTS: it is enrolled; FAILED_PRECONDITION: it is revoked.
  absl::StatusOr<std::vector<v1::AllowedDevice>> Allow(std::vector<v1::AllowedDevice> devices);

  // ---- the queue (queue.cc)
  absl::StatusOr<std::vector<v1::PendingDevice>> Pending(const Transaction& tx);
  struct Approved {
    v1::Device device;
    std::string revoked;  // the device that it replaces; empty: none
  };
  // The device is enrolled from now on; the one that it replaces is revoked and hands over its
  // labels and pinned class. FAILED_PRECONDITION: it replaces a different one than when it was
  // looked at. NOT_FOUND: it is not, or no longer, pending.
  absl::StatusOr<Approved> Approve(Transaction& tx, std::string_view device_id);
  // Its key is refused from now on, as a revoked device's is.
  absl::StatusOr<v1::Device> Reject(std::string_view device_id);

  // ---- devices (devices.cc) The ACTIVE device that holds this certificate. UNAUTHENTICATED: not a
  // device's certificate, an unknown device or another key; PERMISSION_DENIED: revoked.
  absl::StatusOr<v1::Device> Authenticate(const Transaction& tx,
                                          const trust::CertificateInfo& certificate);
  // Without facts they stay as before. Classifies the device anew each time and returns it as it is
  // now. `trust_root_version`: the one that the device holds; 0: it does not say. `unwritten`: what
  // it cannot write to its disk, for people. The caller counts the check-in once it is committed.
  absl::StatusOr<v1::Device> CheckIn(Transaction& tx, const v1::Device& device,
                                     std::string_view agent_version, const v1::HardwareFacts* facts,
                                     std::vector<v1::ModelStatus> models,
                                     uint32_t trust_root_version = 0,
                                     std::string_view unwritten = {});
  absl::StatusOr<v1::Device> Revoke(Transaction& tx, std::string_view device_id);
  // The device may be given again what it stepped down from. `model`: empty: of all models.
  absl::StatusOr<v1::Device> ForgetOutgrown(std::string_view device_id, std::string_view model);
  // Labels in `set` are added or replaced, those in `remove` go. Classified anew.
  absl::StatusOr<v1::Device> Label(std::string_view device_id, const Labels& set,
                                   const std::vector<std::string>& remove);

  Duration check_in() const { return options_.check_in; }
  FleetCounters& counters() { return counters_; }

 private:
  absl::StatusOr<Issued> Issue(const v1::Device& device, std::string_view public_pem,
                               uint32_t knows);
  absl::StatusOr<Issued> EnrollCounted(const Applicant& applicant);

  struct DeviceKey {
    std::string pem, id;
    Digest digest;
  };
  // What admits a device, and what comes with that.
  struct Admission {
    std::string name;  // as the store finds it, and
    std::string text;  // as people read it; empty: nothing does, or the device is enrolled already
    Labels labels;
    std::string pinned_class;
    std::string wait;      // why an operator has to decide; empty: it is admitted
    std::string replaces;  // the active device that this one would duplicate
  };
  using Customer = std::optional<trust::ForeignCertificate>;
  absl::StatusOr<Customer> CheckCustomer(const Applicant& applicant, const DeviceKey& key);
  // Whether there is a proof; UNAUTHENTICATED: it is not valid.
  absl::StatusOr<bool> CheckProof(const Applicant& applicant, const DeviceKey& key);
  // One enrollment. Its transaction may run more than once, but what it does in memory must count
  // once.
  struct Attempt {
    const Applicant& applicant;
    const DeviceKey& key;
    bool used_challenges = false, met_stranger = false;
  };
  // Marks the challenges of both as used. Devices that nothing admits must be limited before they
  // get here.
  absl::Status UseChallenges(Attempt& attempt);
  absl::StatusOr<Admission> Admit(Transaction& tx, const Applicant& applicant, const DeviceKey& key,
                                  const Customer& customer, bool enrolled);
  absl::StatusOr<Admission> AdmitByToken(Transaction& tx, const Applicant& applicant,
                                         const DeviceKey& key, bool enrolled);
  absl::StatusOr<Admission> AdmitByCertificate(const Transaction& tx,
                                               const trust::ForeignCertificate& certificate,
                                               const DeviceKey& key, bool enrolled);
  absl::StatusOr<std::optional<Admission>> AdmitByList(const Transaction& tx, const DeviceKey& key);
  // The ACTIVE device with another key that has this hardware id; empty: none.
  absl::StatusOr<std::string> SameMachine(const Transaction& tx, std::string_view hardware_id,
                                          std::string_view device_id);
  // Makes the device pending and says so in words. One that is pending already does not change
  // without a proof.
  absl::StatusOr<std::string> Hold(Transaction& tx, Attempt& attempt, const Admission& admission);
  absl::Status MeetStranger(Attempt& attempt);

  absl::StatusOr<Issued> RenewCounted(std::string_view device_id, std::string_view csr_pem,
                                      std::string_view nonce, std::string_view proof,
                                      uint32_t trust_root_version);

  const Collaborators with_;
  const Options options_;
  ChallengeBook challenges_;
  RefusalBook refusals_;
  FleetCounters counters_;

  struct RecentToken {
    std::string request_id;
    NewToken answer;
    Duration made;
  };
  std::mutex strangers_mutex_;  // guards the two below: devices that nothing admits and that
                                // came in this minute
  Duration strangers_since_{0};
  int strangers_ = 0;

  std::mutex recent_mutex_;  // guards recent_; also runs one CreateToken at a time
  std::vector<RecentToken> recent_;
};

inline constexpr size_t kMaxLabels = 32,
                        kMaxLabelText = 256;     // labels of one thing; bytes of a key or a value
inline constexpr size_t kMaxVersionBytes = 128;  // an agent's version

// For DeviceStore::Update.
absl::Status SetRevoked(v1::Device& device);

// Checks what comes from outside: bounded lists, bounded strings. INVALID_ARGUMENT names the field.
absl::Status CheckFacts(const v1::HardwareFacts& facts);
absl::Status CheckLabels(const Labels& labels);
absl::Status CheckStatuses(const std::vector<v1::ModelStatus>& models);

}  // namespace quantfleet::daemon
