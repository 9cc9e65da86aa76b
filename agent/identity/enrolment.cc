#include "agent/identity/enrolment.h"

#include "common/base/fail_point.h"
#include "common/trust/certificate.h"
#include "common/trust/keys.h"
#include "common/trust/token.h"

namespace quantfleet::agent {
namespace {

absl::StatusOr<Enrolment> KeepIdentity(DeviceIdentity identity, const Digest& token_ca) {
  QF_ASSIGN_OR_RETURN(const Digest known, trust::CertificateFingerprint(identity.trust_root.ca_pem()));
  if (known != token_ca)
    return FailedPrecondition(
        "this device is enrolled with another daemon, as {}: name another folder with --state, or "
        "remove the old one",
        identity.device_id);
  return Enrolment{std::move(identity), true};
}

}  // namespace

absl::Status CheckGranted(const v1::Identity& granted, const std::string& private_pem) {
  QF_ASSIGN_OR_RETURN(const trust::CertificateInfo certificate,
                      trust::ReadCertificate(granted.certificate_pem()));
  QF_ASSIGN_OR_RETURN(const Digest mine, trust::PublicKeyDigest(private_pem));
  if (certificate.public_key != mine)
    return DataLoss("the daemon's certificate is not for this device's key");
  if (certificate.subject.kind != trust::Subject::Kind::kDevice ||
      certificate.subject.id != granted.device_id())
    return DataLoss("the daemon's certificate names {}, not device {}", certificate.subject.id,
                    granted.device_id());
  const v1::TrustRoot& root = granted.trust_root();
  QF_RETURN_IF_ERROR(
      trust::VerifyChain(granted.certificate_pem(), root.ca_pem(), /*server=*/false, std::nullopt));
  if (root.keys().empty()) return DataLoss("the daemon's trust root names no key that may sign");
  for (const v1::VerifyKey& key : root.keys())
    if (trust::KeyIdOf(key.public_key()) != key.key_id())
      return DataLoss("key {} of the trust root does not have that id", key.key_id());
  return absl::OkStatus();
}

absl::StatusOr<Enrolment> Enrol(const IdentityStore& store, const Connector& connect, TrustedClock& clock,
                                Random& random, const EnrolmentRequest& request) {
  QF_ASSIGN_OR_RETURN(const trust::ClaimToken token, trust::ClaimToken::Parse(request.token));
  auto known = store.Load();
  if (known.ok()) return KeepIdentity(*std::move(known), token.ca_fingerprint);
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
      .ca_pem = {}, .ca_fingerprint = token.ca_fingerprint, .time = [&clock] { return clock.ForValidity(); }};
  const auto api = connect(request.server, first_contact, {});
  auto granted = api->Enroll(call);
  if (!granted.ok()) return Annotate(granted.status(), fmt::format("enrolling with {}", request.server));
  QF_RETURN_IF_ERROR(CheckGranted(*granted, key));
  // The fingerprint vouches for the channel; the root that is pinned from now on has to be the same CA.
  QF_ASSIGN_OR_RETURN(const Digest ca, trust::CertificateFingerprint(granted->trust_root().ca_pem()));
  if (ca != token.ca_fingerprint) return DataLoss("the daemon's trust root names another CA than the token");

  const Time server_time = FromUnixMillis(granted->server_time_ms());
  clock.HearServer(server_time);
  Enrolment enrolment{{.device_id = granted->device_id(),
                       .device_class = granted->device_class(),
                       .certificate_pem = granted->certificate_pem(),
                       .private_pem = key,
                       .trust_root = granted->trust_root(),
                       .server = request.server,
                       .blob_endpoint = granted->blob_endpoint()},
                      false};
  FailPoint("enroll-before-save");
  QF_RETURN_IF_ERROR(store.SaveTime(server_time));
  QF_RETURN_IF_ERROR(store.Save(enrolment.identity));
  FailPoint("enroll-after-save");
  return enrolment;
}

}  // namespace quantfleet::agent
