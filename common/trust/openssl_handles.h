// Owners for OpenSSL's objects, and its error queue as text. For .cc files only (of common/, and of
// daemon/web, which serves TLS): no interface shows OpenSSL.
#pragma once

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/digest.h"
#include "common/base/status.h"

namespace quantfleet::trust {

template <auto kFree>
struct Freer {
  template <typename T>
  void operator()(T* object) const {
    kFree(object);
  }
};

using BioPtr = std::unique_ptr<BIO, Freer<BIO_free_all>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, Freer<EVP_PKEY_free>>;
using KeyContextPtr = std::unique_ptr<EVP_PKEY_CTX, Freer<EVP_PKEY_CTX_free>>;
using DigestContextPtr = std::unique_ptr<EVP_MD_CTX, Freer<EVP_MD_CTX_free>>;
using X509Ptr = std::unique_ptr<X509, Freer<X509_free>>;
using X509RequestPtr = std::unique_ptr<X509_REQ, Freer<X509_REQ_free>>;
using X509StorePtr = std::unique_ptr<X509_STORE, Freer<X509_STORE_free>>;
using X509StoreContextPtr = std::unique_ptr<X509_STORE_CTX, Freer<X509_STORE_CTX_free>>;
using X509ExtensionPtr = std::unique_ptr<X509_EXTENSION, Freer<X509_EXTENSION_free>>;
using GeneralNamesPtr = std::unique_ptr<GENERAL_NAMES, Freer<GENERAL_NAMES_free>>;
using GeneralNamePtr = std::unique_ptr<GENERAL_NAME, Freer<GENERAL_NAME_free>>;
using BigNumberPtr = std::unique_ptr<BIGNUM, Freer<BN_free>>;

// The oldest reason in the thread's queue. Empties the queue: an entry left behind would fail a
// later TLS operation.
inline std::string TakeOpenSslError() {
  char text[256] = "no reason given";
  if (unsigned long code = ERR_get_error()) ERR_error_string_n(code, text, sizeof text);
  ERR_clear_error();
  return text;
}

// For steps on our own data that fail only when memory runs out or OpenSSL is broken: there is no
// way to continue.
inline void Must(bool ok) {
  if (!ok) std::abort();
}
template <typename T>
T* Must(T* object) {
  if (!object) std::abort();
  return object;
}

inline BioPtr ReadBio(std::string_view text) {
  return BioPtr(Must(BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))));
}
inline BioPtr WriteBio() { return BioPtr(Must(BIO_new(BIO_s_mem()))); }
inline std::string BioText(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return std::string(data, static_cast<size_t>(size));
}

inline const unsigned char* Data(ByteSpan bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}

inline constexpr size_t kMaxPemSize = 1 << 20;

// Every certificate of a PEM text, in order; INVALID_ARGUMENT when there is none or one cannot be
// read.
absl::StatusOr<std::vector<X509Ptr>> ReadCertificates(std::string_view pem);
std::string CertificateToPem(X509* certificate);

// Keys in PEM. An encrypted key is refused: the terminal is never asked for a password.
absl::StatusOr<KeyPtr> ReadPrivateKey(std::string_view pem);
absl::StatusOr<KeyPtr> ReadPublicKey(std::string_view pem);
std::string PrivateKeyToPem(EVP_PKEY* key);
std::string PublicKeyToPem(EVP_PKEY* key);
bool IsP256(const EVP_PKEY* key);
// As PublicKeyDigest (certificate.h).
absl::StatusOr<Digest> DigestOfPublicKey(const EVP_PKEY* key);

}  // namespace quantfleet::trust
