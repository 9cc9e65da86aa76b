#include "common/base/digest.h"

#include <openssl/evp.h>

#include <algorithm>
#include <cstdlib>

namespace quantfleet {

absl::StatusOr<Digest> Digest::FromRaw(std::string_view raw) {
  if (raw.size() != kSize)
    return InvalidArgument("a digest must have {} bytes, not {}", size_t{kSize}, raw.size());
  Digest d;
  std::ranges::copy(AsBytes(raw), d.bytes.begin());
  return d;
}

absl::StatusOr<Digest> Digest::FromHexText(std::string_view hex) {
  auto bytes = FromHex(hex);
  if (!bytes || bytes->size() != kSize)
    return InvalidArgument("'{}' is not a SHA-256 digest (64 hex digits)", hex);
  return FromRaw(AsText(*bytes));
}

struct Sha256::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  State() {
    // Fails only without memory or without SHA-256 in OpenSSL: then there is no way to continue.
    if (!context || EVP_DigestInit_ex(context, EVP_sha256(), nullptr) != 1) std::abort();
  }
  ~State() { EVP_MD_CTX_free(context); }
};

Sha256::Sha256() : state_(std::make_unique<State>()) {}
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::Update(ByteSpan bytes) {
  EVP_DigestUpdate(state_->context, bytes.data(), bytes.size());
}

Digest Sha256::Finish() {
  Digest d;
  EVP_DigestFinal_ex(state_->context, reinterpret_cast<unsigned char*>(d.bytes.data()), nullptr);
  return d;
}

Digest HashBytes(ByteSpan bytes) {
  Sha256 hash;
  hash.Update(bytes);
  return hash.Finish();
}

}  // namespace quantfleet
