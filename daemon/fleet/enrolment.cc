#include "common/base/fail_point.h"
#include "common/trust/token.h"
#include "daemon/fleet/fleet.h"

namespace quantfleet::daemon {
namespace {

constexpr size_t kMostCsrBytes = 16 << 10, kMostIdBytes = 64;

// The CSR's public key, after the CSR proved that its sender holds the private one.
absl::StatusOr<std::string> KeyOfCsr(std::string_view csr_pem) {
  if (csr_pem.size() > kMostCsrBytes) return InvalidArgument("csr_pem: at most {} bytes", kMostCsrBytes);
  auto key = trust::CsrPublicKey(csr_pem);
  if (!key.ok()) return InvalidArgument("csr_pem: {}", Message(key.status()));
  return key;
}

std::string IdOfKey(const Digest& public_key) { return "d-" + public_key.hex().substr(0, 16); }

}  // namespace

Fleet::Fleet(Collaborators with, Options options)
    : with_(with), options_(options), challenges_(with.random, with.clock) {}

absl::StatusOr<Fleet::Identity> Fleet::Issue(const v1::Device& device, std::string_view public_pem) {
  QF_ASSIGN_OR_RETURN(std::string certificate,
                      with_.authority.IssueDevice(public_pem, device.id(), options_.certificate_lifetime));
  QF_ASSIGN_OR_RETURN(const trust::CertificateInfo info, trust::ReadCertificate(certificate));
  FailPoint("device-before-certificate-recorded");
  const auto updated = with_.store.UpdateDevice(device.id(), [&](v1::Device& d) -> absl::Status {
    if (d.state() != v1::Device::ACTIVE) return PermissionDenied("device {} is revoked", d.id());
    d.set_certificate_expires_ms(ToUnixMillis(info.not_after));
    return absl::OkStatus();
  });
  QF_RETURN_IF_ERROR(updated.status());
  FailPoint("device-after-certificate-recorded");
  return Identity{device.id(), std::move(certificate), updated->device_class()};
}

absl::StatusOr<Fleet::Identity> Fleet::EnrolCounted(std::string_view token, std::string_view csr_pem,
                                                    const v1::HardwareFacts& facts, std::string_view agent_version) {
  const auto claim = trust::ClaimToken::Parse(token);
  if (!claim.ok())
    return Unauthenticated("{}; an operator makes one with `quantfleet token create`", Message(claim.status()));
  if (claim->ca_fingerprint != with_.authority.ca_fingerprint())
    return Unauthenticated("the token was made by another daemon: is the address right?");
  QF_ASSIGN_OR_RETURN(const std::string public_pem, KeyOfCsr(csr_pem));
  QF_ASSIGN_OR_RETURN(const Digest public_key, trust::PublicKeyDigest(public_pem));
  QF_RETURN_IF_ERROR(CheckFacts(facts));
  if (agent_version.size() > kMostVersionBytes) return InvalidArgument("agent_version is too long");

  QF_ASSIGN_OR_RETURN(const auto classes, with_.classes.Specs());
  const int64_t now = ToUnixMillis(with_.clock.Now());
  Enrolment enrolment{claim->id, claim->SecretHash(), public_key, {}, now};
  v1::Device& device = enrolment.device;
  device.set_id(IdOfKey(public_key));
  device.set_state(v1::Device::ACTIVE);
  *device.mutable_facts() = facts;
  device.set_agent_version(std::string(agent_version));
  device.set_enrolled_ms(now);

  // The token's labels decide too, and they are known only once it is used: classified in the same transaction.
  v1::Device enrolled;
  FailPoint("enrol-before-device-recorded");
  QF_RETURN_IF_ERROR(with_.store.Atomically([&]() -> absl::Status {
    QF_ASSIGN_OR_RETURN(const v1::Device made, with_.store.UseTokenAndCreateDevice(enrolment));
    QF_ASSIGN_OR_RETURN(enrolled, with_.store.UpdateDevice(made.id(), [&](v1::Device& d) -> absl::Status {
      const Labels labels(d.labels().begin(), d.labels().end());
      const ClassMatch match = MatchClass(d.facts(), labels, *classes);
      d.set_device_class(match.name);
      d.set_class_reason(match.reason);
      return absl::OkStatus();
    }));
    return absl::OkStatus();
  }));
  FailPoint("enrol-after-device-recorded");
  with_.store.TouchDevice(enrolled.id(), now);
  return Issue(enrolled, public_pem);
}

std::string Fleet::RenewalMessage(std::string_view nonce, std::string_view csr_pem) {
  using namespace std::string_view_literals;
  std::string message("quantfleet.v1.Renew\0"sv);
  message += nonce;
  message += '\0';
  message += HashText(csr_pem).raw();
  return message;
}

absl::StatusOr<Fleet::Identity> Fleet::RenewCounted(std::string_view device_id, std::string_view csr_pem,
                                                    std::string_view nonce, std::string_view proof) {
  if (device_id.empty() || device_id.size() > kMostIdBytes) return InvalidArgument("device_id is missing or too long");
  QF_RETURN_IF_ERROR(challenges_.Check(device_id, nonce));
  QF_ASSIGN_OR_RETURN(const std::string public_pem, KeyOfCsr(csr_pem));
  QF_ASSIGN_OR_RETURN(const Digest public_key, trust::PublicKeyDigest(public_pem));
  const auto device = with_.store.GetDevice(device_id);
  if (device.status().code() == absl::StatusCode::kNotFound)
    return NotFound("no device {}: enrol again with a token", device_id);
  QF_RETURN_IF_ERROR(device.status());
  QF_ASSIGN_OR_RETURN(const Digest enrolled_key, with_.store.DeviceKey(device_id));
  if (enrolled_key != public_key)
    return Unauthenticated("device {} was enrolled with another key: enrol again with a token", device_id);
  if (!trust::VerifyWithPublicKey(public_pem, AsBytes(RenewalMessage(nonce, csr_pem)), proof))
    return Unauthenticated("the proof was not made by device {}'s key over this challenge", device_id);
  if (device->state() != v1::Device::ACTIVE)
    return PermissionDenied("device {} is revoked: an operator decided so; it cannot renew or enrol with this key",
                            device_id);
  QF_RETURN_IF_ERROR(challenges_.Use(device_id, nonce));
  return Issue(*device, public_pem);
}

absl::StatusOr<Fleet::Identity> Fleet::Enrol(std::string_view token, std::string_view csr_pem,
                                             const v1::HardwareFacts& facts, std::string_view agent_version) {
  auto identity = EnrolCounted(token, csr_pem, facts, agent_version);
  ++(identity.ok() ? counters_.enrolments : counters_.enrolments_refused);
  return identity;
}

absl::StatusOr<Fleet::Identity> Fleet::Renew(std::string_view device_id, std::string_view csr_pem,
                                             std::string_view nonce, std::string_view proof) {
  auto identity = RenewCounted(device_id, csr_pem, nonce, proof);
  ++(identity.ok() ? counters_.renewals : counters_.renewals_refused);
  return identity;
}

}  // namespace quantfleet::daemon
