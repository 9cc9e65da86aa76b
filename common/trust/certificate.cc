// Reading: what a certificate says, and whether a chain leads to the CA.

#include "common/trust/certificate.h"

#include <ctime>
#include <functional>
#include <span>

#include "common/trust/openssl_handles.h"
#include "common/trust/subject_uri.h"
#include "common/trust/validity.h"

namespace quantfleet::trust {
namespace {

constexpr size_t kMaxChain = 8;
constexpr size_t kMaxSubject = 256;
constexpr int kForeignStrength =
    2;  // OpenSSL's authentication level of 112 bits: RSA 2048, P-224, no SHA-1

absl::StatusOr<Time> ReadTime(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1)
    return InvalidArgument("the certificate's validity is damaged: {}", TakeOpenSslError());
  return Time(std::chrono::seconds(::timegm(&parts)));
}

Digest Fingerprint(X509* certificate) {
  Digest digest;
  unsigned size = Digest::kSize;
  Must(X509_digest(certificate, EVP_sha256(), reinterpret_cast<unsigned char*>(digest.bytes.data()),
                   &size) == 1);
  return digest;
}

std::string SerialHex(const X509* certificate) {
  BigNumberPtr number(Must(ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), nullptr)));
  Bytes bytes(static_cast<size_t>(BN_num_bytes(number.get())));
  BN_bn2bin(number.get(), reinterpret_cast<unsigned char*>(bytes.data()));
  return ToHex(bytes);
}

std::string_view Text(const ASN1_STRING* text) {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
          static_cast<size_t>(ASN1_STRING_length(text))};
}

std::string AddressText(const ASN1_OCTET_STRING* address) {
  const auto* at = ASN1_STRING_get0_data(address);
  if (ASN1_STRING_length(address) == 4)
    return fmt::format("{}.{}.{}.{}", at[0], at[1], at[2], at[3]);
  std::string text;
  for (int i = 0; i + 1 < ASN1_STRING_length(address); i += 2)
    text += fmt::format("{}{:x}", i ? ":" : "", at[i] << 8 | at[i + 1]);
  return text;
}

absl::StatusOr<Subject> ReadSubject(const X509* certificate) {
  GeneralNamesPtr names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  ERR_clear_error();
  if (!names)
    return InvalidArgument("the certificate does not name its holder (no subjectAltName)");
  std::optional<Subject> subject;
  std::vector<std::string> dns_names, ip_addresses;
  for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
    int type = 0;
    const auto* value = static_cast<const ASN1_STRING*>(
        GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names.get(), i), &type));
    if (type == GEN_URI) {
      if (subject) return InvalidArgument("the certificate names more than one holder");
      QF_ASSIGN_OR_RETURN(subject, ParseSubjectUri(Text(value)));
    } else if (type == GEN_DNS) {
      dns_names.emplace_back(Text(value));
    } else if (type == GEN_IPADD) {
      ip_addresses.push_back(AddressText(value));
    }
  }
  if (!subject)
    return InvalidArgument("the certificate does not name its holder (no quantfleet:// name)");
  subject->dns_names = std::move(dns_names);
  subject->ip_addresses = std::move(ip_addresses);
  return *std::move(subject);
}

std::string TimeText(const ASN1_TIME* time) {
  const auto read = ReadTime(time);
  return read.ok() ? UtcText(*read) : "an unreadable time";
}

// What went wrong, in words that say what to do about it. Of two clocks either may be the wrong
// one: that here, or the one by which the certificate was issued.
absl::Status ChainError(X509_STORE_CTX* context, bool server, std::optional<Time> now) {
  const int error = X509_STORE_CTX_get_error(context);
  X509* at = X509_STORE_CTX_get_current_cert(context);
  ERR_clear_error();
  const char* holder = server ? "server" : "client";
  const std::string here = now ? UtcText(*now) : "";
  if (at && error == X509_V_ERR_CERT_HAS_EXPIRED)
    return Unauthenticated(
        "the {}'s certificate has expired: it is valid until {}, and this machine's clock says {}. "
        "If this machine's clock is right, the certificate has to be renewed{}",
        holder, TimeText(X509_get0_notAfter(at)), here,
        server ? ": check the daemon's clock and restart the daemon" : "");
  if (at && error == X509_V_ERR_CERT_NOT_YET_VALID)
    return Unauthenticated(
        "the {}'s certificate is not valid yet: it is valid from {}, and this machine's clock says "
        "{}. If this machine's clock is right, the daemon's clock was ahead when it issued the "
        "certificate: {}",
        holder, TimeText(X509_get0_notBefore(at)), here,
        server ? "check the daemon's clock and restart the daemon" : "renew it");
  if (error == X509_V_ERR_INVALID_PURPOSE)
    return Unauthenticated("the certificate is not a {}'s certificate", holder);
  return Unauthenticated("the {}'s certificate was not issued by the CA that is trusted here: {}",
                         holder, X509_verify_cert_error_string(error));
}

std::string SubjectText(const X509* certificate) {
  BioPtr bio = WriteBio();
  if (X509_NAME_print_ex(bio.get(), X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253) < 0)
    ERR_clear_error();
  return BioText(bio.get()).substr(0, kMaxSubject);
}

// chain: leaf first. Each of the authorities is trusted; `strengthen` adds rules.
absl::Status VerifyPath(std::span<const X509Ptr> chain, std::span<const X509Ptr> authorities,
                        bool server, std::optional<Time> at,
                        const std::function<void(X509_VERIFY_PARAM*)>& strengthen) {
  if (chain.size() > kMaxChain)
    return Unauthenticated("a chain of {} certificates is too long", chain.size());
  X509StorePtr store(Must(X509_STORE_new()));
  for (const X509Ptr& authority : authorities)
    Must(X509_STORE_add_cert(store.get(), authority.get()) == 1);
  const std::unique_ptr<STACK_OF(X509), decltype([](STACK_OF(X509) * s) { sk_X509_free(s); })>
      untrusted(Must(sk_X509_new_null()));
  for (const X509Ptr& link : chain.subspan(1)) Must(sk_X509_push(untrusted.get(), link.get()) > 0);

  X509StoreContextPtr context(Must(X509_STORE_CTX_new()));
  Must(X509_STORE_CTX_init(context.get(), store.get(), chain.front().get(), untrusted.get()) == 1);
  X509_VERIFY_PARAM* rules = X509_STORE_CTX_get0_param(context.get());
  Must(X509_VERIFY_PARAM_set_purpose(
           rules, server ? X509_PURPOSE_SSL_SERVER : X509_PURPOSE_SSL_CLIENT) == 1);
  if (at) {
    X509_VERIFY_PARAM_set_time(
        rules, std::chrono::floor<std::chrono::seconds>(*at).time_since_epoch().count());
  } else {
    Must(X509_VERIFY_PARAM_set_flags(rules, X509_V_FLAG_NO_CHECK_TIME) == 1);
  }
  strengthen(rules);
  if (X509_verify_cert(context.get()) != 1) return ChainError(context.get(), server, at);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<CertificateInfo> ReadCertificate(std::string_view pem) {
  QF_ASSIGN_OR_RETURN(const auto certificates, ReadCertificates(pem));
  X509* leaf = certificates.front().get();
  CertificateInfo info;
  QF_ASSIGN_OR_RETURN(info.subject, ReadSubject(leaf));
  QF_ASSIGN_OR_RETURN(info.not_before, ReadTime(X509_get0_notBefore(leaf)));
  QF_ASSIGN_OR_RETURN(info.not_after, ReadTime(X509_get0_notAfter(leaf)));
  const EVP_PKEY* key = X509_get0_pubkey(leaf);
  if (!key) return InvalidArgument("the certificate's key cannot be read: {}", TakeOpenSslError());
  QF_ASSIGN_OR_RETURN(info.public_key, DigestOfPublicKey(key));
  info.serial = SerialHex(leaf);
  return info;
}

absl::StatusOr<Digest> CertificateFingerprint(std::string_view pem) {
  QF_ASSIGN_OR_RETURN(const auto certificates, ReadCertificates(pem));
  return Fingerprint(certificates.front().get());
}

absl::StatusOr<std::vector<std::string>> SplitCertificates(std::string_view pem) {
  QF_ASSIGN_OR_RETURN(const auto certificates, ReadCertificates(pem));
  std::vector<std::string> parts;
  for (const X509Ptr& certificate : certificates)
    parts.push_back(CertificateToPem(certificate.get()));
  return parts;
}

absl::StatusOr<std::string> FindCertificate(std::string_view chain_pem, const Digest& fingerprint) {
  QF_ASSIGN_OR_RETURN(const auto certificates, ReadCertificates(chain_pem));
  for (const X509Ptr& certificate : certificates)
    if (Fingerprint(certificate.get()) == fingerprint) return CertificateToPem(certificate.get());
  return Unauthenticated(
      "the server's certificates were not issued by the CA with fingerprint {}: is this the daemon "
      "that created the token?",
      fingerprint.hex());
}

absl::Status VerifyChain(std::string_view chain_pem, std::string_view authorities_pem, bool server,
                         std::optional<Time> at) {
  QF_ASSIGN_OR_RETURN(const auto chain, ReadCertificates(chain_pem));
  QF_ASSIGN_OR_RETURN(const auto authorities, ReadCertificates(authorities_pem));
  return VerifyPath(chain, authorities, server, at, [](X509_VERIFY_PARAM*) {});
}

absl::Status CheckAuthorities(std::string_view authorities_pem) {
  QF_ASSIGN_OR_RETURN(const auto authorities, ReadCertificates(authorities_pem));
  for (size_t i = 0; i < authorities.size(); ++i)
    if (X509_check_ca(authorities[i].get()) != 1)
      return InvalidArgument("certificate {} ({}) is not a CA certificate", i + 1,
                             SubjectText(authorities[i].get()));
  return absl::OkStatus();
}

absl::StatusOr<ForeignCertificate> VerifyForeign(std::string_view chain_pem,
                                                 std::string_view authorities_pem, Time at) {
  QF_ASSIGN_OR_RETURN(const auto chain, ReadCertificates(chain_pem));
  QF_ASSIGN_OR_RETURN(const auto authorities, ReadCertificates(authorities_pem));
  // What is trusted need not be a root: customers keep those offline.
  QF_RETURN_IF_ERROR(
      VerifyPath(chain, authorities, /*server=*/false, at, [](X509_VERIFY_PARAM* rules) {
        X509_VERIFY_PARAM_set_auth_level(rules, kForeignStrength);
        Must(X509_VERIFY_PARAM_set_flags(rules, X509_V_FLAG_PARTIAL_CHAIN) == 1);
      }));
  QF_ASSIGN_OR_RETURN(const Digest key, PublicKeyDigest(CertificateToPem(chain.front().get())));
  return ForeignCertificate{key, SubjectText(chain.front().get())};
}

}  // namespace quantfleet::trust
