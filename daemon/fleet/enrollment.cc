#include "common/base/fail_point.h"
#include "common/base/retry_after.h"
#include "daemon/fleet/fleet.h"

namespace quantfleet::daemon {
namespace {

constexpr size_t kMaxCsrBytes = 16 << 10, kMaxIdBytes = 64;

// The CSR's public key, after the CSR proved that its sender holds the private one.
absl::StatusOr<std::string> KeyOfCsr(std::string_view csr_pem) {
  if (csr_pem.size() > kMaxCsrBytes)
    return InvalidArgument("csr_pem: at most {} bytes", kMaxCsrBytes);
  auto key = trust::CsrPublicKey(csr_pem);
  if (!key.ok()) return InvalidArgument("csr_pem: {}", Message(key.status()));
  return key;
}

}  // namespace

Fleet::Fleet(Collaborators with, Options options)
    : with_(with), options_(options), challenges_(with.random, with.clock), refusals_(with.clock) {}

absl::StatusOr<Fleet::Issued> Fleet::Issue(const v1::Device& device, std::string_view public_pem,
                                           uint32_t knows) {
  QF_ASSIGN_OR_RETURN(
      std::string certificate,
      with_.authority.IssueDevice(public_pem, device.id(), options_.certificate_lifetime, knows));
  QF_ASSIGN_OR_RETURN(const trust::CertificateInfo info, trust::ReadCertificate(certificate));
  FailPoint("device-before-certificate-recorded");
  const auto updated = with_.store.Write([&](Transaction& tx) {
    return tx.devices().Update(device.id(), [&](v1::Device& d) -> absl::Status {
      if (d.state() != v1::Device::ACTIVE) return PermissionDenied("device {} is revoked", d.id());
      d.set_certificate_expires_ms(ToUnixMillis(info.not_after));
      d.set_certificate_root_version(knows);
      return absl::OkStatus();
    });
  });
  QF_RETURN_IF_ERROR(updated.status());
  FailPoint("device-after-certificate-recorded");
  return Issued{device.id(), std::move(certificate), updated->device_class()};
}

absl::StatusOr<Fleet::Issued> Fleet::EnrollCounted(const Applicant& applicant) {
  DeviceKey key;
  QF_ASSIGN_OR_RETURN(key.pem, KeyOfCsr(applicant.csr_pem));
  QF_ASSIGN_OR_RETURN(key.digest, trust::PublicKeyDigest(key.pem));
  key.id = trust::DeviceIdOf(key.digest);
  QF_RETURN_IF_ERROR(CheckFacts(applicant.facts));
  if (applicant.agent_version.size() > kMaxVersionBytes)
    return InvalidArgument("agent_version is too long");
  QF_ASSIGN_OR_RETURN(const bool proven, CheckProof(applicant, key));
  QF_ASSIGN_OR_RETURN(const Customer customer, CheckCustomer(applicant, key));

  const int64_t now = ToUnixMillis(with_.clock.Now());
  Attempt attempt{applicant, key};
  v1::Device enrolled;
  absl::Status held;  // not OK: the device waits, and that is recorded
  bool repeated = false;
  FailPoint("enroll-before-device-recorded");
  QF_RETURN_IF_ERROR(with_.store.Write([&](Transaction& tx) -> absl::Status {
    held = absl::OkStatus();
    repeated = false;
    QF_ASSIGN_OR_RETURN(const auto classes, with_.classes.Specs(tx));
    const auto known = tx.devices().FindByKey(key.digest);
    if (!known.ok() && known.status().code() != absl::StatusCode::kNotFound) return known.status();
    if (known.ok() && known->state() == v1::Device::REVOKED)
      return PermissionDenied("device {} has been revoked: enroll with a new key", known->id());
    if (known.ok() && !proven) {
      enrolled = *known;
      repeated = true;
      return absl::OkStatus();
    }
    QF_ASSIGN_OR_RETURN(Admission admission, Admit(tx, applicant, key, customer, known.ok()));
    if (!known.ok()) {
      if (admission.replaces.empty()) {
        QF_ASSIGN_OR_RETURN(admission.replaces,
                            SameMachine(tx, applicant.facts.hardware_id(), key.id));
      }
      if (!admission.wait.empty() || !admission.replaces.empty()) {
        QF_ASSIGN_OR_RETURN(const std::string why, Hold(tx, attempt, admission));
        held = WithRetryAfter(FailedPrecondition("{}", why), options_.check_in);
        return UseChallenges(attempt);
      }
    }
    QF_RETURN_IF_ERROR(UseChallenges(attempt));
    Enrollment enrollment{key.digest, admission.name, {}, now};
    v1::Device& device = enrollment.device;
    device.set_id(key.id);
    device.set_state(v1::Device::ACTIVE);
    *device.mutable_facts() = applicant.facts;
    device.set_agent_version(applicant.agent_version);
    device.set_enrolled_ms(now);
    device.set_admitted_by(admission.text);
    device.set_pinned_class(admission.pinned_class);
    device.mutable_labels()->insert(admission.labels.begin(), admission.labels.end());
    QF_ASSIGN_OR_RETURN(enrolled, tx.devices().Create(enrollment));
    // What an enrolled key keeps also matters here.
    QF_ASSIGN_OR_RETURN(enrolled, tx.devices().Update(enrolled.id(), [&](v1::Device& d) {
      Classify(d, *classes);
      return absl::OkStatus();
    }));
    tx.devices().Touch(enrolled, now);
    return absl::OkStatus();
  }));
  FailPoint("enroll-after-device-recorded");
  QF_RETURN_IF_ERROR(held);
  if (repeated) {
    // A certificate is public and useful only to the key's holder. What is recorded about the last
    // one stays.
    QF_ASSIGN_OR_RETURN(
        std::string certificate,
        with_.authority.IssueDevice(key.pem, enrolled.id(), options_.certificate_lifetime, 0));
    return Issued{enrolled.id(), std::move(certificate), enrolled.device_class()};
  }
  return Issue(enrolled, key.pem, 0);  // an older agent knows only the CA that it first met
}

std::string Fleet::EnrollmentMessage(std::string_view nonce, std::string_view csr_pem) {
  return trust::ProofMessage("EnrollKey", nonce, csr_pem);
}

std::string Fleet::RenewalMessage(std::string_view nonce, std::string_view csr_pem) {
  return trust::ProofMessage("Renew", nonce, csr_pem);
}

absl::StatusOr<Fleet::Issued> Fleet::RenewCounted(std::string_view device_id,
                                                  std::string_view csr_pem, std::string_view nonce,
                                                  std::string_view proof,
                                                  uint32_t trust_root_version) {
  if (device_id.empty() || device_id.size() > kMaxIdBytes)
    return InvalidArgument("device_id is missing or too long");
  QF_RETURN_IF_ERROR(challenges_.Check(device_id, nonce));
  QF_ASSIGN_OR_RETURN(const std::string public_pem, KeyOfCsr(csr_pem));
  QF_ASSIGN_OR_RETURN(const Digest public_key, trust::PublicKeyDigest(public_pem));
  const auto known =
      with_.store.Read([&](const Transaction& tx) { return tx.devices().GetWithKey(device_id); });
  if (known.status().code() == absl::StatusCode::kNotFound)
    return NotFound("device {} does not exist: enroll again with a token", device_id);
  QF_RETURN_IF_ERROR(known.status());
  if (known->public_key != public_key)
    return Unauthenticated("device {} was enrolled with another key: enroll again with a token",
                           device_id);
  if (!trust::VerifyWithPublicKey(public_pem, AsBytes(RenewalMessage(nonce, csr_pem)), proof))
    return Unauthenticated("the proof was not made by device {}'s key over this challenge",
                           device_id);
  if (known->device.state() != v1::Device::ACTIVE)
    return PermissionDenied(
        "device {} was revoked by an operator; it cannot renew or enroll with this key", device_id);
  QF_RETURN_IF_ERROR(challenges_.Use(device_id, nonce));
  return Issue(known->device, public_pem, trust_root_version);
}

absl::StatusOr<Fleet::Issued> Fleet::Enroll(const Applicant& applicant) {
  if (absl::Status refused = refusals_.Check(applicant.address); !refused.ok()) {
    ++counters_.enrollments_refused;
    return refused;
  }
  auto identity = EnrollCounted(applicant);
  if (identity.ok()) {
    ++counters_.enrollments;
  } else if (RetryAfter(identity.status())) {
    ++counters_.enrollments_held;
  } else {
    ++counters_.enrollments_refused;
    refusals_.Add(applicant.address);
  }
  return identity;
}

absl::StatusOr<Fleet::Issued> Fleet::Renew(std::string_view device_id, std::string_view csr_pem,
                                           std::string_view nonce, std::string_view proof,
                                           uint32_t trust_root_version) {
  auto identity = RenewCounted(device_id, csr_pem, nonce, proof, trust_root_version);
  ++(identity.ok() ? counters_.renewals : counters_.renewals_refused);
  return identity;
}

}  // namespace quantfleet::daemon
