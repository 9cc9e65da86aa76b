// Keys of certificates (ECDSA P-256), their CSRs, and signatures as proof of possession.

#include <algorithm>

#include "common/trust/certificate.h"
#include "common/trust/name.h"
#include "common/trust/openssl_handles.h"

namespace quantfleet::trust {
namespace {

// The public half of whatever the PEM holds.
absl::StatusOr<KeyPtr> AnyKey(std::string_view pem) {
  if (pem.find("-----BEGIN CERTIFICATE-----") != std::string_view::npos) {
    QF_ASSIGN_OR_RETURN(const auto certificates, ReadCertificates(pem));
    KeyPtr key(X509_get_pubkey(certificates.front().get()));
    if (!key)
      return InvalidArgument("the certificate's key cannot be read: {}", TakeOpenSslError());
    return key;
  }
  if (pem.find("-----BEGIN PUBLIC KEY-----") != std::string_view::npos) return ReadPublicKey(pem);
  return ReadPrivateKey(pem);
}

// SHA-256, except for keys whose algorithm has its own.
const EVP_MD* DigestFor(const EVP_PKEY* key) {
  return EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519 ? nullptr : EVP_sha256();
}

bool MaySign(const EVP_PKEY* key) {
  const int kind = EVP_PKEY_get_base_id(key);
  return kind == EVP_PKEY_EC || kind == EVP_PKEY_RSA || kind == EVP_PKEY_RSA_PSS ||
         kind == EVP_PKEY_ED25519;
}

absl::StatusOr<std::string> SignWith(EVP_PKEY* key, ByteSpan message) {
  DigestContextPtr context(Must(EVP_MD_CTX_new()));
  size_t size = 0;
  std::string signature;
  if (EVP_DigestSignInit(context.get(), nullptr, DigestFor(key), nullptr, key) == 1 &&
      EVP_DigestSign(context.get(), nullptr, &size, Data(message), message.size()) == 1) {
    signature.resize(size);
    if (EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size,
                       Data(message), message.size()) == 1) {
      signature.resize(size);
      return signature;
    }
  }
  return InvalidArgument("the key cannot sign: {}", TakeOpenSslError());
}

bool VerifyWith(EVP_PKEY* key, ByteSpan message, std::string_view signature) {
  DigestContextPtr context(Must(EVP_MD_CTX_new()));
  const bool valid =
      EVP_DigestVerifyInit(context.get(), nullptr, DigestFor(key), nullptr, key) == 1 &&
      EVP_DigestVerify(context.get(), Data(AsBytes(signature)), signature.size(), Data(message),
                       message.size()) == 1;
  if (!valid) ERR_clear_error();
  return valid;
}

}  // namespace

KeyPair GenerateTlsKey() {
  KeyPtr key(Must(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256")));
  return {PrivateKeyToPem(key.get()), PublicKeyToPem(key.get())};
}

absl::StatusOr<Digest> PublicKeyDigest(std::string_view pem) {
  QF_ASSIGN_OR_RETURN(KeyPtr key, AnyKey(pem));
  return DigestOfPublicKey(key.get());
}

absl::StatusOr<Digest> DigestOfPublicKey(const EVP_PKEY* key) {
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(key, &der);
  if (size <= 0) return InvalidArgument("the key cannot be encoded: {}", TakeOpenSslError());
  const Digest digest = HashBytes(std::as_bytes(std::span(der, static_cast<size_t>(size))));
  OPENSSL_free(der);
  return digest;
}

absl::StatusOr<std::string> MakeCsr(std::string_view private_pem, std::string_view common_name) {
  const auto printable = [](char c) { return c >= ' ' && c <= '~'; };
  if (common_name.empty() || common_name.size() > kMaxNameSize ||
      !std::ranges::all_of(common_name, printable))
    return InvalidArgument("a common name must have 1 to {} printable ASCII characters",
                           kMaxNameSize);
  QF_ASSIGN_OR_RETURN(KeyPtr key, ReadPrivateKey(private_pem));
  X509RequestPtr request(Must(X509_REQ_new()));
  Must(X509_REQ_set_version(request.get(), X509_REQ_VERSION_1) == 1);
  const std::string name(common_name);
  Must(X509_NAME_add_entry_by_txt(X509_REQ_get_subject_name(request.get()), "CN", MBSTRING_ASC,
                                  reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1,
                                  0) == 1);
  Must(X509_REQ_set_pubkey(request.get(), key.get()) == 1);
  if (X509_REQ_sign(request.get(), key.get(), EVP_sha256()) <= 0)
    return InvalidArgument("the key cannot sign a certificate request: {}", TakeOpenSslError());
  BioPtr bio = WriteBio();
  Must(PEM_write_bio_X509_REQ(bio.get(), request.get()) == 1);
  return BioText(bio.get());
}

absl::StatusOr<std::string> CsrPublicKey(std::string_view csr_pem) {
  if (csr_pem.size() > kMaxPemSize)
    return InvalidArgument("the certificate request exceeds the maximum size");
  X509RequestPtr request(PEM_read_bio_X509_REQ(ReadBio(csr_pem).get(), nullptr, nullptr, nullptr));
  if (!request) return InvalidArgument("not a certificate request in PEM: {}", TakeOpenSslError());
  KeyPtr key(X509_REQ_get_pubkey(request.get()));
  if (!key || !IsP256(key.get())) {
    ERR_clear_error();
    return InvalidArgument("the key of a certificate request must be ECDSA P-256");
  }
  if (X509_REQ_verify(request.get(), key.get()) != 1) {
    ERR_clear_error();
    return InvalidArgument("the certificate request is not signed by its own key");
  }
  return PublicKeyToPem(key.get());
}

std::string DeviceIdOf(const Digest& public_key) { return "d-" + public_key.hex().substr(0, 16); }

std::string ProofMessage(std::string_view purpose, std::string_view nonce,
                         std::string_view csr_pem) {
  std::string message = fmt::format("quantfleet.v1.{}", purpose);
  message += '\0';
  message += nonce;
  message += '\0';
  message += HashText(csr_pem).raw();
  return message;
}

absl::StatusOr<std::string> SignWithTlsKey(std::string_view private_pem, ByteSpan message) {
  QF_ASSIGN_OR_RETURN(KeyPtr key, ReadPrivateKey(private_pem));
  if (!IsP256(key.get())) return InvalidArgument("the key of a certificate must be ECDSA P-256");
  return SignWith(key.get(), message);
}

bool VerifyWithPublicKey(std::string_view public_pem, ByteSpan message,
                         std::string_view signature) {
  const auto key = ReadPublicKey(public_pem);
  return key.ok() && IsP256(key->get()) && VerifyWith(key->get(), message, signature);
}

absl::StatusOr<std::string> SignWithAnyKey(std::string_view private_pem, ByteSpan message) {
  QF_ASSIGN_OR_RETURN(KeyPtr key, ReadPrivateKey(private_pem));
  if (!MaySign(key.get())) return InvalidArgument("the key must be ECDSA, RSA or Ed25519");
  return SignWith(key.get(), message);
}

bool VerifyWithCertificate(std::string_view certificate_pem, ByteSpan message,
                           std::string_view signature) {
  const auto certificates = ReadCertificates(certificate_pem);
  if (!certificates.ok()) return false;
  const KeyPtr key(X509_get_pubkey(certificates->front().get()));
  if (!key) ERR_clear_error();
  return key && MaySign(key.get()) && VerifyWith(key.get(), message, signature);
}

}  // namespace quantfleet::trust
