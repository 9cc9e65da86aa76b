// From what a device was given to an identity. It may be killed at any step and run again: the same
// key and request id are sent, and the daemon answers with the same device.
#pragma once

#include <optional>
#include <string>

#include "agent/identity/device_api.h"
#include "agent/identity/identity_store.h"
#include "agent/identity/trusted_clock.h"

namespace quantfleet::agent {

struct Enrollment {
  DeviceIdentity identity;
  bool already_enrolled = false;  // the daemon was not asked
};

// With a token, with a certificate of a CA that the daemon trusts, or with the key alone: then the
// daemon's allowlist or an operator decides.
struct EnrollmentRequest {
  std::string server;  // host:port
  std::string token;   // as `quantfleet token create` printed it; empty: none
  std::optional<Digest>
      ca;  // of the daemon's CA, as CertificateFingerprint; what the token says when unset
  std::string certificate_pem, certificate_key_pem;  // the device's own; both empty: none
  v1::HardwareFacts facts;
  std::string agent_version;
};

// UNAUTHENTICATED: the server is not the daemon of that CA, or it does not know the token.
// FAILED_PRECONDITION: enrolled with another daemon; with a retry-after (base/retry_after.h): an
// operator has to decide, try again. Nothing is sent except to a server whose CA has the
// fingerprint.
absl::StatusOr<Enrollment> Enroll(const IdentityStore& store, const Connector& connect,
                                  TrustedClock& clock, Random& random,
                                  const EnrollmentRequest& request);

// Accepts what a daemon granted only if the certificate is for this device and this key, and leads
// to one of the authorities.
absl::Status CheckCertificate(const v1::Identity& granted, const std::string& private_pem,
                              const std::string& authorities_pem);

}  // namespace quantfleet::agent
