#include "agent/identity/enrollment.h"

#include "common/base/fail_point.h"
#include "common/trust/certificate.h"
#include "common/trust/keys.h"
#include "common/trust/token.h"

namespace quantfleet::agent {
namespace {

absl::StatusOr<Enrollment> KeepIdentity(DeviceIdentity identity, const Digest& ca) {
  if (!trust::FindCertificate(identity.trust_root.ca_pem(), ca).ok())
    return FailedPrecondition(
        "this device is already enrolled with another daemon, as {}: pass another folder with "
        "--state, or remove the old one",
        identity.device_id);
  return Enrollment{std::move(identity), true};
}

// How the daemon is recognized at first contact.
absl::StatusOr<Digest> ExpectedCa(const EnrollmentRequest& request) {
  if (request.token.empty()) {
    if (request.ca) return *request.ca;
    return InvalidArgument(
        "without a token the daemon can be identified only by its CA: pass --ca");
  }
  QF_ASSIGN_OR_RETURN(const trust::ClaimToken token, trust::ClaimToken::Parse(request.token));
  if (request.ca && *request.ca != token.ca_fingerprint)
    return InvalidArgument(
        "the token was created by a daemon with a different CA from the one given with --ca");
  return token.ca_fingerprint;
}

// Proofs that the key's holder asks, now and with this CSR, and that the device's own certificate
// is really its own.
absl::Status Prove(DeviceApi& api, const EnrollmentRequest& request, const std::string& private_pem,
                   v1::EnrollRequest* call) {
  v1::GetChallengeRequest ask;
  QF_ASSIGN_OR_RETURN(const Digest key, trust::PublicKeyDigest(private_pem));
  ask.set_device_id(trust::DeviceIdOf(key));
  QF_ASSIGN_OR_RETURN(const v1::Challenge challenge, api.GetChallenge(ask));
  const std::string own = trust::ProofMessage("EnrollKey", challenge.nonce(), call->csr_pem());
  call->set_nonce(challenge.nonce());
  QF_ASSIGN_OR_RETURN(*call->mutable_proof(), trust::SignWithTlsKey(private_pem, AsBytes(own)));
  if (request.certificate_pem.empty()) return absl::OkStatus();
  const std::string message = trust::ProofMessage("Enroll", challenge.nonce(), call->csr_pem());
  v1::CustomerProof& customer = *call->mutable_customer();
  auto proof = trust::SignWithAnyKey(request.certificate_key_pem, AsBytes(message));
  if (!proof.ok())
    return Annotate(proof.status(), "reading the key of the device's own certificate");
  customer.set_certificate_pem(request.certificate_pem);
  customer.set_nonce(challenge.nonce());
  customer.set_proof(*std::move(proof));
  return absl::OkStatus();
}

absl::Status CheckFirstRoot(const v1::TrustRoot& root) {
  if (root.keys().empty()) return DataLoss("the daemon's trust root contains no key that may sign");
  for (const v1::VerifyKey& key : root.keys())
    if (trust::KeyIdOf(key.public_key()) != key.key_id())
      return DataLoss("key {} of the trust root has a wrong id", key.key_id());
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckCertificate(const v1::Identity& granted, const std::string& private_pem,
                              const std::string& authorities_pem) {
  QF_ASSIGN_OR_RETURN(const trust::CertificateInfo certificate,
                      trust::ReadCertificate(granted.certificate_pem()));
  QF_ASSIGN_OR_RETURN(const Digest mine, trust::PublicKeyDigest(private_pem));
  if (certificate.public_key != mine)
    return DataLoss("the daemon's certificate is not for this device's key");
  if (certificate.subject.kind != trust::Subject::Kind::kDevice ||
      certificate.subject.id != granted.device_id())
    return DataLoss("the daemon's certificate is for {}, not for device {}", certificate.subject.id,
                    granted.device_id());
  return trust::VerifyChain(granted.certificate_pem(), authorities_pem, /*server=*/false,
                            std::nullopt);
}

absl::StatusOr<Enrollment> Enroll(const IdentityStore& store, const Connector& connect,
                                  TrustedClock& clock, Random& random,
                                  const EnrollmentRequest& request) {
  QF_ASSIGN_OR_RETURN(const Digest ca, ExpectedCa(request));
  auto known = store.Load();
  if (known.ok()) return KeepIdentity(*std::move(known), ca);
  if (known.status().code() != absl::StatusCode::kNotFound) return known.status();

  QF_ASSIGN_OR_RETURN(const std::string key, store.DeviceKey());
  FailPoint("enroll-key-saved");
  QF_ASSIGN_OR_RETURN(const std::string request_id, store.RequestId(request.server, random));
  v1::EnrollRequest call;
  call.set_request_id(request_id);
  call.set_token(request.token);
  QF_ASSIGN_OR_RETURN(*call.mutable_csr_pem(), trust::MakeCsr(key, "quantfleet-device"));
  *call.mutable_facts() = request.facts;
  call.set_agent_version(request.agent_version);

  const net::ServerTrust first_contact{
      .ca_pem = {}, .ca_fingerprint = ca, .time = [&clock] { return clock.ForValidity(); }};
  const auto api = connect(request.server, first_contact, {});
  const std::string enrolling = fmt::format("enrolling with {}", request.server);
  QF_RETURN_IF_ERROR(Annotate(Prove(*api, request, key, &call), enrolling));
  auto granted = api->Enroll(call);
  if (!granted.ok()) return Annotate(granted.status(), enrolling);
  QF_RETURN_IF_ERROR(CheckCertificate(*granted, key, granted->trust_root().ca_pem()));
  QF_RETURN_IF_ERROR(CheckFirstRoot(granted->trust_root()));
  // The fingerprint authenticates the channel; the root that is pinned from now on must have the
  // same CA.
  if (!trust::FindCertificate(granted->trust_root().ca_pem(), ca).ok())
    return DataLoss("the daemon's trust root has a different CA from the token or --ca");

  // The CA has just issued the certificate: the daemon's time cannot be after its end.
  const Time server_time = FromUnixMillis(granted->server_time_ms());
  QF_ASSIGN_OR_RETURN(const trust::CertificateInfo certificate,
                      trust::ReadCertificate(granted->certificate_pem()));
  if (server_time > certificate.not_after)
    return DataLoss("the certificate that the daemon issued for this device has already expired");
  clock.HearServer(server_time);
  Enrollment enrollment{{.device_id = granted->device_id(),
                         .device_class = granted->device_class(),
                         .certificate_pem = granted->certificate_pem(),
                         .private_pem = key,
                         .trust_root = granted->trust_root(),
                         .server = request.server,
                         .blob_endpoint = granted->blob_endpoint(),
                         .fleet_endpoint = granted->fleet_endpoint()},
                        false};
  FailPoint("enroll-before-save");
  QF_RETURN_IF_ERROR(store.SaveTime(server_time));
  QF_RETURN_IF_ERROR(store.Save(enrollment.identity));
  FailPoint("enroll-after-save");
  return enrollment;
}

}  // namespace quantfleet::agent
