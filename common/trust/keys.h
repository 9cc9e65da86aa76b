// Ed25519 keys for signing statements. PEM (PKCS#8) on disk, raw 32 bytes on the wire. Thread-safe
// once made.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "common/base/bytes.h"
#include "common/base/status.h"

namespace quantfleet::trust {

class SigningKey {
 public:
  static SigningKey Generate();
  static absl::StatusOr<SigningKey> FromPem(std::string_view pem);
  SigningKey(SigningKey&&) noexcept;
  SigningKey& operator=(SigningKey&&) noexcept;
  ~SigningKey();

  std::string ToPem() const;
  std::string public_key() const;            // raw, 32 bytes
  std::string key_id() const;                // hex SHA-256 of public_key()
  std::string Sign(ByteSpan message) const;  // 64 bytes

 private:
  struct Impl;
  explicit SigningKey(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

std::string KeyIdOf(std::string_view raw_public_key);
bool VerifyEd25519(std::string_view raw_public_key, ByteSpan message, std::string_view signature);

}  // namespace quantfleet::trust
