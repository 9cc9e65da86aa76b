// X.509: the daemon's CA, the certificates it issues, and what a certificate says about its holder.
// PEM in and out. Keys of certificates are ECDSA P-256, which every TLS client supports.
// Thread-safe: pure functions and immutable values.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/clock.h"
#include "common/base/digest.h"
#include "common/base/status.h"

namespace quantfleet::trust {

struct KeyPair {
  std::string private_pem;
  std::string public_pem;
};
KeyPair GenerateTlsKey();  // ECDSA P-256
// SHA-256 over the DER SubjectPublicKeyInfo of a private key, public key or certificate in PEM.
absl::StatusOr<Digest> PublicKeyDigest(std::string_view pem);
// A device's id follows from its key: "d-" and the first 16 hex digits of that digest.
std::string DeviceIdOf(const Digest& public_key);

// A self-signed CSR for that key; the CA takes nothing from its subject.
absl::StatusOr<std::string> MakeCsr(std::string_view private_pem, std::string_view common_name);
// Checks the CSR's own signature and returns the public key in PEM.
absl::StatusOr<std::string> CsrPublicKey(std::string_view csr_pem);

struct Subject {
  enum class Kind { kServer, kDevice, kOperator } kind;
  std::string id;                                    // device id, operator name or server name
  std::string role;                                  // operators: admin, publisher, viewer
  std::vector<std::string> dns_names, ip_addresses;  // servers
};

class CertificateAuthority {
 public:
  // A new CA (key, self-signed certificate valid for ten years, and as long back).
  static CertificateAuthority Create(std::string_view name, const Clock& clock);
  static absl::StatusOr<CertificateAuthority> Load(std::string_view certificate_pem,
                                                   std::string_view private_pem);

  const std::string& certificate_pem() const { return certificate_pem_; }
  const std::string& private_pem() const { return private_pem_; }
  // SHA-256 of the DER certificate: what an enrollment token carries.
  Digest fingerprint() const;

  // A certificate for the public key, valid from kBackdate (validity.h) before now until now +
  // lifetime. The holder is written as a URI in subjectAltName: quantfleet://device/ID,
  // quantfleet://operator/NAME?role=ROLE.
  absl::StatusOr<std::string> Issue(std::string_view public_pem, const Subject& subject,
                                    Duration lifetime, const Clock& clock) const;

 private:
  struct Parsed;  // both of the below; reading them takes longer than issuing a certificate
  CertificateAuthority(std::string certificate_pem, std::string private_pem,
                       std::shared_ptr<const Parsed> parsed);
  std::string certificate_pem_, private_pem_;
  std::shared_ptr<const Parsed> parsed_;
};

struct CertificateInfo {
  Subject subject;
  Time not_before, not_after;
  // One that begins later was made by a clock that was ahead: to be renewed as one that has ended.
  bool holds_at(Time now) const { return not_before <= now && now < not_after; }
  Digest public_key;   // as PublicKeyDigest
  std::string serial;  // hex
};
absl::StatusOr<CertificateInfo> ReadCertificate(std::string_view pem);

// The certificates of a PEM text, each as a PEM of its own; at least one.
absl::StatusOr<std::vector<std::string>> SplitCertificates(std::string_view pem);

// SHA-256 of the DER form of the first certificate in the PEM.
absl::StatusOr<Digest> CertificateFingerprint(std::string_view pem);

// The certificate of `chain_pem` that has this fingerprint, in PEM; UNAUTHENTICATED when none has.
// It is then the CA to give to VerifyChain: a fingerprint alone says nothing about the leaf.
absl::StatusOr<std::string> FindCertificate(std::string_view chain_pem, const Digest& fingerprint);

// Does `chain_pem` (leaf first) lead to a CA of `authorities_pem`, and is it fit for a TLS server
// (or client)? `at`: this machine's time, which is named where it is the reason of a refusal;
// nullopt leaves validity times unchecked, for a device whose clock cannot be
// right.
absl::Status VerifyChain(std::string_view chain_pem, std::string_view authorities_pem, bool server,
                         std::optional<Time> at);

// Whether these are one or more certificates, all of CAs.
absl::Status CheckAuthorities(std::string_view authorities_pem);

// ---- certificates of others: a customer's own CA

struct ForeignCertificate {
  Digest public_key;    // of the leaf, as PublicKeyDigest
  std::string subject;  // as RFC 2253 writes it, ASCII, at most 256 bytes
};
// Checks that `chain_pem` (leaf first) leads to one of the authorities, is fit for a TLS client and
// valid at `at`, and that every key and signature in it has at least 112 bits of strength.
// UNAUTHENTICATED says what is wrong.
absl::StatusOr<ForeignCertificate> VerifyForeign(std::string_view chain_pem,
                                                 std::string_view authorities_pem, Time at);

// ---- proofs of possession

// What is signed: "quantfleet.v1.PURPOSE\0" nonce "\0" SHA-256(csr_pem), as device.proto has it.
std::string ProofMessage(std::string_view purpose, std::string_view nonce,
                         std::string_view csr_pem);

// ECDSA-SHA256 by a TLS key.
absl::StatusOr<std::string> SignWithTlsKey(std::string_view private_pem, ByteSpan message);
bool VerifyWithPublicKey(std::string_view public_pem, ByteSpan message, std::string_view signature);
// By any key of a foreign certificate: ECDSA or RSA (PKCS #1 v1.5; a PSS key by PSS) with SHA-256,
// or Ed25519. The second takes the certificate, or a chain of which the first certificate counts.
absl::StatusOr<std::string> SignWithAnyKey(std::string_view private_pem, ByteSpan message);
bool VerifyWithCertificate(std::string_view certificate_pem, ByteSpan message,
                           std::string_view signature);

}  // namespace quantfleet::trust
