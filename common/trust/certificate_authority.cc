// Issuing: the CA's own certificate and those of servers, devices and operators.

#include <openssl/rand.h>

#include "common/trust/certificate.h"
#include "common/trust/name.h"
#include "common/trust/openssl_handles.h"
#include "common/trust/subject_uri.h"
#include "common/trust/validity.h"

namespace quantfleet::trust {
namespace {

using std::chrono::hours;
constexpr auto kCaLifetime = hours(24 * 3652);
// As far back as it holds forward. A CA is trusted because it is pinned; when it begins says
// nothing, and one that was made while the clock was ahead must not lock everybody out.
constexpr auto kCaBackdate = kCaLifetime;

std::time_t Seconds(Time time) {
  return std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count();
}

void SetRandomSerial(X509* certificate) {
  unsigned char bytes[16];
  Must(RAND_bytes(bytes, sizeof bytes) == 1);
  bytes[0] =
      static_cast<unsigned char>((bytes[0] & 0x7f) | 0x40);  // positive, and always 16 bytes long
  BigNumberPtr number(Must(BN_bin2bn(bytes, sizeof bytes, nullptr)));
  Must(BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate)));
}

X509Ptr StartCertificate(std::string_view common_name, EVP_PKEY* key, Time from, Time until) {
  X509Ptr certificate(Must(X509_new()));
  Must(X509_set_version(certificate.get(), X509_VERSION_3) == 1);
  SetRandomSerial(certificate.get());
  Must(ASN1_TIME_set(X509_getm_notBefore(certificate.get()), Seconds(from)));
  Must(ASN1_TIME_set(X509_getm_notAfter(certificate.get()), Seconds(until)));
  const std::string name(common_name.substr(0, kMaxNameSize));
  Must(X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate.get()), "CN", MBSTRING_UTF8,
                                  reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1,
                                  0) == 1);
  Must(X509_set_pubkey(certificate.get(), key) == 1);
  return certificate;
}

void AddExtension(X509* certificate, X509* issuer, int nid, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509ExtensionPtr extension(Must(X509V3_EXT_conf_nid(nullptr, &context, nid, value)));
  Must(X509_add_ext(certificate, extension.get(), -1) == 1);
}

void AddName(GENERAL_NAMES* names, int type, std::string_view text) {
  GeneralNamePtr name(Must(GENERAL_NAME_new()));
  ASN1_IA5STRING* value = Must(ASN1_IA5STRING_new());
  Must(ASN1_STRING_set(value, text.data(), static_cast<int>(text.size())) == 1);
  GENERAL_NAME_set0_value(name.get(), type, value);
  Must(sk_GENERAL_NAME_push(names, name.release()) > 0);
}

absl::Status AddAddress(GENERAL_NAMES* names, const std::string& text) {
  ASN1_OCTET_STRING* address = a2i_IPADDRESS(text.c_str());
  if (!address) {
    ERR_clear_error();
    return InvalidArgument("'{}' is not an IP address", text);
  }
  GeneralNamePtr name(Must(GENERAL_NAME_new()));
  GENERAL_NAME_set0_value(name.get(), GEN_IPADD, address);
  Must(sk_GENERAL_NAME_push(names, name.release()) > 0);
  return absl::OkStatus();
}

absl::Status AddSubjectNames(X509* certificate, const Subject& subject, std::string_view uri) {
  GeneralNamesPtr names(Must(GENERAL_NAMES_new()));
  AddName(names.get(), GEN_URI, uri);
  for (const std::string& name : subject.dns_names) {
    if (!IsPlainName(name)) return InvalidArgument("'{}' is not a host name", name);
    AddName(names.get(), GEN_DNS, name);
  }
  for (const std::string& address : subject.ip_addresses)
    QF_RETURN_IF_ERROR(AddAddress(names.get(), address));
  Must(X509_add1_ext_i2d(certificate, NID_subject_alt_name, names.get(), 0, X509V3_ADD_DEFAULT) ==
       1);
  return absl::OkStatus();
}

}  // namespace

struct CertificateAuthority::Parsed {
  X509Ptr certificate;
  KeyPtr key;
};

CertificateAuthority::CertificateAuthority(std::string certificate_pem, std::string private_pem,
                                           std::shared_ptr<const Parsed> parsed)
    : certificate_pem_(std::move(certificate_pem)),
      private_pem_(std::move(private_pem)),
      parsed_(std::move(parsed)) {}

CertificateAuthority CertificateAuthority::Create(std::string_view name, const Clock& clock) {
  KeyPtr key(Must(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256")));
  const Time now = clock.Now();
  X509Ptr certificate = StartCertificate(name, key.get(), now - kCaBackdate, now + kCaLifetime);
  X509* self = certificate.get();
  Must(X509_set_issuer_name(self, X509_get_subject_name(self)) == 1);
  AddExtension(self, self, NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
  AddExtension(self, self, NID_key_usage, "critical,keyCertSign,cRLSign");
  AddExtension(self, self, NID_subject_key_identifier, "hash");
  Must(X509_sign(self, key.get(), EVP_sha256()) > 0);
  std::string certificate_pem = CertificateToPem(self), private_pem = PrivateKeyToPem(key.get());
  return CertificateAuthority(
      std::move(certificate_pem), std::move(private_pem),
      std::make_shared<const Parsed>(std::move(certificate), std::move(key)));
}

absl::StatusOr<CertificateAuthority> CertificateAuthority::Load(std::string_view certificate_pem,
                                                                std::string_view private_pem) {
  QF_ASSIGN_OR_RETURN(auto certificates, ReadCertificates(certificate_pem));
  QF_ASSIGN_OR_RETURN(KeyPtr key, ReadPrivateKey(private_pem));
  if (certificates.size() != 1)
    return InvalidArgument("the CA file must contain exactly one certificate");
  if (X509_check_ca(certificates[0].get()) != 1)
    return InvalidArgument("the CA's certificate is not a CA certificate");
  if (X509_check_private_key(certificates[0].get(), key.get()) != 1) {
    ERR_clear_error();
    return InvalidArgument("the CA's private key does not belong to its certificate");
  }
  std::string own_pem = CertificateToPem(certificates[0].get()),
              own_key_pem = PrivateKeyToPem(key.get());
  return CertificateAuthority(
      std::move(own_pem), std::move(own_key_pem),
      std::make_shared<const Parsed>(std::move(certificates[0]), std::move(key)));
}

Digest CertificateAuthority::fingerprint() const {
  return *CertificateFingerprint(certificate_pem_);
}

absl::StatusOr<std::string> CertificateAuthority::Issue(std::string_view public_pem,
                                                        const Subject& subject, Duration lifetime,
                                                        const Clock& clock) const {
  const bool server = subject.kind == Subject::Kind::kServer;
  if (!server && !(subject.dns_names.empty() && subject.ip_addresses.empty()))
    return InvalidArgument("only a server's certificate may name hosts");
  QF_ASSIGN_OR_RETURN(const std::string uri, SubjectUri(subject));
  QF_ASSIGN_OR_RETURN(const KeyPtr key, ReadPublicKey(public_pem));
  if (!IsP256(key.get())) return InvalidArgument("the key of a certificate must be ECDSA P-256");
  X509* issuer = parsed_->certificate.get();

  const Time now = clock.Now();
  X509Ptr certificate = StartCertificate(subject.id, key.get(), now - kBackdate, now + lifetime);
  X509* leaf = certificate.get();
  Must(X509_set_issuer_name(leaf, X509_get_subject_name(issuer)) == 1);
  AddExtension(leaf, issuer, NID_basic_constraints, "critical,CA:FALSE");
  AddExtension(leaf, issuer, NID_key_usage, "critical,digitalSignature");
  AddExtension(leaf, issuer, NID_ext_key_usage, server ? "serverAuth" : "clientAuth");
  AddExtension(leaf, issuer, NID_subject_key_identifier, "hash");
  AddExtension(leaf, issuer, NID_authority_key_identifier, "keyid:always");
  QF_RETURN_IF_ERROR(AddSubjectNames(leaf, subject, uri));
  if (X509_sign(leaf, parsed_->key.get(), EVP_sha256()) <= 0)
    return Internal("the CA's key cannot sign: {}", TakeOpenSslError());
  return CertificateToPem(leaf);
}

}  // namespace quantfleet::trust
