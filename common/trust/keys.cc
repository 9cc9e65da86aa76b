#include "common/trust/keys.h"

#include "common/base/digest.h"
#include "common/trust/openssl_handles.h"

namespace quantfleet::trust {
namespace {

constexpr size_t kPublicKeySize = 32, kSignatureSize = 64;

}  // namespace

struct SigningKey::Impl {
  KeyPtr key;
};

SigningKey::SigningKey(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SigningKey::SigningKey(SigningKey&&) noexcept = default;
SigningKey& SigningKey::operator=(SigningKey&&) noexcept = default;
SigningKey::~SigningKey() = default;

SigningKey SigningKey::Generate() {
  return SigningKey(
      std::make_unique<Impl>(Impl{KeyPtr(Must(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519")))}));
}

absl::StatusOr<SigningKey> SigningKey::FromPem(std::string_view pem) {
  QF_ASSIGN_OR_RETURN(KeyPtr key, ReadPrivateKey(pem));
  if (EVP_PKEY_get_base_id(key.get()) != EVP_PKEY_ED25519)
    return InvalidArgument("a signing key must be Ed25519");
  return SigningKey(std::make_unique<Impl>(Impl{std::move(key)}));
}

std::string SigningKey::ToPem() const { return PrivateKeyToPem(impl_->key.get()); }

std::string SigningKey::public_key() const {
  std::string raw(kPublicKeySize, '\0');
  size_t size = raw.size();
  Must(EVP_PKEY_get_raw_public_key(impl_->key.get(), reinterpret_cast<unsigned char*>(raw.data()),
                                   &size) == 1);
  return raw;
}

std::string SigningKey::key_id() const { return KeyIdOf(public_key()); }

std::string SigningKey::Sign(ByteSpan message) const {
  DigestContextPtr context(Must(EVP_MD_CTX_new()));
  Must(EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, impl_->key.get()) == 1);
  std::string signature(kSignatureSize, '\0');
  size_t size = signature.size();
  Must(EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size,
                      Data(message), message.size()) == 1);
  return signature;
}

std::string KeyIdOf(std::string_view raw_public_key) { return HashText(raw_public_key).hex(); }

bool VerifyEd25519(std::string_view raw_public_key, ByteSpan message, std::string_view signature) {
  if (raw_public_key.size() != kPublicKeySize || signature.size() != kSignatureSize) return false;
  KeyPtr key(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, Data(AsBytes(raw_public_key)),
                                         kPublicKeySize));
  DigestContextPtr context(Must(EVP_MD_CTX_new()));
  const bool valid =
      key && EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1 &&
      EVP_DigestVerify(context.get(), Data(AsBytes(signature)), signature.size(), Data(message),
                       message.size()) == 1;
  if (!valid) ERR_clear_error();
  return valid;
}

}  // namespace quantfleet::trust
