// What admits a device: a token, a certificate of a customer's CA, or the allowlist.
#include <algorithm>

#include "common/base/outside_text.h"
#include "common/trust/token.h"
#include "daemon/fleet/fleet.h"
#include "daemon/fleet/token_use.h"

namespace quantfleet::daemon {
namespace {

constexpr size_t kMaxCertificateBytes = 32 << 10, kMaxProofBytes = 2 << 10;
constexpr size_t kMaxAllowedAtOnce = 1000, kMaxAllowed = 100'000;
constexpr size_t kIdSize = 18;  // "d-" and 16 hex digits

bool LooksLikeId(std::string_view id) {
  return id.size() == kIdSize && id.starts_with("d-") &&
         id.find_first_not_of("0123456789abcdef", 2) == std::string_view::npos;
}

}  // namespace

absl::StatusOr<Fleet::Admission> Fleet::AdmitByToken(Transaction& tx, const Applicant& applicant,
                                                     const DeviceKey& key, bool enrolled) {
  const auto claim = trust::ClaimToken::Parse(applicant.token);
  if (!claim.ok())
    return Unauthenticated("{}; an operator can create one with `quantfleet token create`",
                           Message(claim.status()));
  if (claim->ca_fingerprint != with_.authority.ca_fingerprint())
    return Unauthenticated("the token was created by another daemon: check the address");
  QF_ASSIGN_OR_RETURN(const v1::EnrollmentToken token,
                      UseToken(tx, claim->id, claim->SecretHash(), key.digest, enrolled,
                               ToUnixMillis(with_.clock.Now())));
  const std::string name = AdmissionOfToken(token.id());
  return Admission{
      .name = name,
      .text = name,
      .labels = Labels(token.labels().begin(), token.labels().end()),
      .pinned_class = token.device_class(),
      .wait = token.approval() ? fmt::format("token {} requires approval", token.id()) : "",
      .replaces = {}};
}

// Before the transaction: signatures take time.
absl::StatusOr<Fleet::Customer> Fleet::CheckCustomer(const Applicant& applicant,
                                                     const DeviceKey& key) {
  if (!applicant.customer) return std::nullopt;
  const CustomerProof& customer = *applicant.customer;
  if (options_.customer_ca_pem.empty())
    return PermissionDenied(
        "this daemon does not accept certificates of other CAs: start it with --enrollment-ca "
        "FILE.pem");
  if (customer.certificate_pem.size() > kMaxCertificateBytes)
    return InvalidArgument("customer.certificate_pem: at most {} bytes", kMaxCertificateBytes);
  if (customer.proof.size() > kMaxProofBytes)
    return InvalidArgument("customer.proof: at most {} bytes", kMaxProofBytes);
  QF_RETURN_IF_ERROR(challenges_.Check(key.id, customer.nonce));
  auto certificate =
      trust::VerifyForeign(customer.certificate_pem, options_.customer_ca_pem, with_.clock.Now());
  if (!certificate.ok())
    return Unauthenticated("checking the device's own certificate: {}",
                           Message(certificate.status()));
  const std::string message = trust::ProofMessage("Enroll", customer.nonce, applicant.csr_pem);
  if (!trust::VerifyWithCertificate(customer.certificate_pem, AsBytes(message), customer.proof))
    return Unauthenticated(
        "the proof was not made by the key of certificate {} over this challenge and request",
        certificate->subject);
  return *std::move(certificate);
}

absl::StatusOr<bool> Fleet::CheckProof(const Applicant& applicant, const DeviceKey& key) {
  if (!applicant.proof) return false;
  const auto& [nonce, proof] = *applicant.proof;
  if (proof.size() > kMaxProofBytes)
    return InvalidArgument("proof: at most {} bytes", kMaxProofBytes);
  QF_RETURN_IF_ERROR(challenges_.Check(key.id, nonce));
  if (!trust::VerifyWithPublicKey(key.pem, AsBytes(EnrollmentMessage(nonce, applicant.csr_pem)),
                                  proof))
    return Unauthenticated(
        "the proof was not made by device {}'s key over this challenge and request: run "
        "`quantfleet-agent enroll` on the device itself",
        key.id);
  return true;
}

absl::Status Fleet::UseChallenges(Attempt& attempt) {
  if (attempt.used_challenges) return absl::OkStatus();
  const std::optional<CustomerProof>& customer = attempt.applicant.customer;
  const std::optional<KeyProof>& proof = attempt.applicant.proof;
  const std::string& id = attempt.key.id;
  if (customer) QF_RETURN_IF_ERROR(challenges_.Use(id, customer->nonce));
  if (proof && !(customer && customer->nonce == proof->nonce))
    QF_RETURN_IF_ERROR(challenges_.Use(id, proof->nonce));
  attempt.used_challenges = true;
  return absl::OkStatus();
}

// A certificate belongs to one device. Whoever comes with it and another key is that device, set up
// anew, or a copy.
absl::StatusOr<Fleet::Admission> Fleet::AdmitByCertificate(
    const Transaction& tx, const trust::ForeignCertificate& certificate, const DeviceKey& key,
    bool enrolled) {
  Admission admission{.name = "certificate " + certificate.public_key.hex(),
                      .text = "certificate " + certificate.subject,
                      .labels = {},
                      .pinned_class = {},
                      .wait = {},
                      .replaces = {}};
  if (enrolled) return admission;
  QF_ASSIGN_OR_RETURN(const auto before, tx.devices().FindByAdmission(admission.name));
  const auto active = std::ranges::find(before, v1::Device::ACTIVE, &v1::Device::state);
  if (active != before.end()) {
    admission.replaces = active->id();
    admission.wait = fmt::format("its certificate belongs to {}, which is active with another key",
                                 active->id());
  } else if (!before.empty()) {
    QF_ASSIGN_OR_RETURN(const auto listed, AdmitByList(tx, key));
    if (listed) return *listed;
    return PermissionDenied(
        "certificate {} belongs to {}, which was revoked: run `quantfleet device allow {}` to "
        "admit it again",
        certificate.subject, before.back().id(), key.id);
  }
  return admission;
}

absl::StatusOr<std::optional<Fleet::Admission>> Fleet::AdmitByList(const Transaction& tx,
                                                                   const DeviceKey& key) {
  QF_ASSIGN_OR_RETURN(const auto listed, tx.admission().FindAllowed(key.id));
  if (!listed || (!listed->public_key().empty() && listed->public_key() != key.digest.raw()))
    return std::nullopt;
  return Admission{.name = "list",
                   .text = "list",
                   .labels = Labels(listed->labels().begin(), listed->labels().end()),
                   .pinned_class = {},
                   .wait = {},
                   .replaces = {}};
}

absl::StatusOr<Fleet::Admission> Fleet::Admit(Transaction& tx, const Applicant& applicant,
                                              const DeviceKey& key, const Customer& customer,
                                              bool enrolled) {
  if (customer) return AdmitByCertificate(tx, *customer, key, enrolled);
  if (!applicant.token.empty()) return AdmitByToken(tx, applicant, key, enrolled);
  if (enrolled) return Admission{};
  QF_ASSIGN_OR_RETURN(const auto listed, AdmitByList(tx, key));
  if (listed) return *listed;
  if (options_.queue == 0)
    return PermissionDenied(
        "device {0} is not on the allowlist: run `quantfleet device allow {0}`, or give it a token "
        "from `quantfleet token create`; unknown devices can wait for an operator only if the "
        "daemon runs with --enrollment-queue N",
        key.id);
  Admission stranger;
  stranger.wait = "nothing admits it";
  return stranger;
}

absl::StatusOr<std::vector<v1::AllowedDevice>> Fleet::Allow(
    std::vector<v1::AllowedDevice> devices) {
  if (devices.empty()) return InvalidArgument("devices: at least one is required");
  if (devices.size() > kMaxAllowedAtOnce)
    return InvalidArgument("devices: at most {} at once", kMaxAllowedAtOnce);
  const int64_t now = ToUnixMillis(with_.clock.Now());
  for (v1::AllowedDevice& device : devices) {
    if (!device.public_key().empty()) {
      const auto key = Digest::FromRaw(device.public_key());
      if (!key.ok())
        return InvalidArgument("public_key: a SHA-256 digest must have 32 bytes, not {}",
                               device.public_key().size());
      const std::string id = trust::DeviceIdOf(*key);
      if (!device.device_id().empty() && device.device_id() != id)
        return InvalidArgument("public key {} belongs to {}, not to {}", key->hex(), id,
                               device.device_id());
      device.set_device_id(id);
    }
    if (!LooksLikeId(device.device_id()))
      return InvalidArgument(
          "\"{}\" is not a device id: an id is \"d-\" and 16 hex digits, as `quantfleet-agent "
          "identity` prints it",
          Shown(device.device_id(), 64));
    QF_RETURN_IF_ERROR(CheckLabels(Labels(device.labels().begin(), device.labels().end())));
    device.set_created_ms(now);
  }
  return with_.store.Write([&](Transaction& tx) -> absl::StatusOr<std::vector<v1::AllowedDevice>> {
    for (const v1::AllowedDevice& device : devices) {
      const auto known = tx.devices().Get(device.device_id());
      if (known.status().code() == absl::StatusCode::kNotFound) continue;
      QF_RETURN_IF_ERROR(known.status());
      if (known->state() == v1::Device::REVOKED)
        return FailedPrecondition("device {} is revoked: it can enroll again only with a new key",
                                  known->id());
      return AlreadyExists("device {} is already enrolled", known->id());
    }
    return tx.admission().Allow(devices, kMaxAllowed);
  });
}

}  // namespace quantfleet::daemon
