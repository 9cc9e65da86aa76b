#include "common/trust/openssl_handles.h"

#include <openssl/ec.h>

#include <cstring>

namespace quantfleet::trust {
namespace {

int NoPassword(char*, int, int, void*) { return -1; }

absl::Status CheckPemSize(std::string_view pem) {
  if (pem.size() > kMaxPemSize)
    return InvalidArgument("a PEM text of {} bytes exceeds the maximum", pem.size());
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<X509Ptr>> ReadCertificates(std::string_view pem) {
  QF_RETURN_IF_ERROR(CheckPemSize(pem));
  BioPtr bio = ReadBio(pem);
  std::vector<X509Ptr> found;
  while (X509Ptr one{PEM_read_bio_X509(bio.get(), nullptr, NoPassword, nullptr)})
    found.push_back(std::move(one));
  // The end of the text is reported as an error too; any other means that a certificate is damaged.
  const bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  const std::string reason = TakeOpenSslError();
  if (found.empty()) return InvalidArgument("no certificate in the PEM text ({})", reason);
  if (!at_end)
    return InvalidArgument("certificate {} of the PEM text is damaged: {}", found.size() + 1,
                           reason);
  return found;
}

std::string CertificateToPem(X509* certificate) {
  BioPtr bio = WriteBio();
  Must(PEM_write_bio_X509(bio.get(), certificate) == 1);
  return BioText(bio.get());
}

absl::StatusOr<KeyPtr> ReadPrivateKey(std::string_view pem) {
  QF_RETURN_IF_ERROR(CheckPemSize(pem));
  KeyPtr key(PEM_read_bio_PrivateKey(ReadBio(pem).get(), nullptr, NoPassword, nullptr));
  if (!key)
    return InvalidArgument("not a private key in PEM without a password: {}", TakeOpenSslError());
  return key;
}

absl::StatusOr<KeyPtr> ReadPublicKey(std::string_view pem) {
  QF_RETURN_IF_ERROR(CheckPemSize(pem));
  KeyPtr key(PEM_read_bio_PUBKEY(ReadBio(pem).get(), nullptr, NoPassword, nullptr));
  if (!key) return InvalidArgument("not a public key in PEM: {}", TakeOpenSslError());
  return key;
}

std::string PrivateKeyToPem(EVP_PKEY* key) {
  BioPtr bio = WriteBio();
  Must(PEM_write_bio_PKCS8PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) == 1);
  return BioText(bio.get());
}

std::string PublicKeyToPem(EVP_PKEY* key) {
  BioPtr bio = WriteBio();
  Must(PEM_write_bio_PUBKEY(bio.get(), key) == 1);
  return BioText(bio.get());
}

bool IsP256(const EVP_PKEY* key) {
  char group[64] = "";
  if (EVP_PKEY_get_base_id(key) != EVP_PKEY_EC) return false;
  if (EVP_PKEY_get_group_name(key, group, sizeof group, nullptr) != 1) ERR_clear_error();
  return std::strcmp(group, "prime256v1") == 0;
}

}  // namespace quantfleet::trust
