#include "common/trust/statement.h"

#include <algorithm>
#include <string>

namespace quantfleet::trust {
namespace {

constexpr int kMaxSignatures =
    16;  // a statement with more is not ours, and each one costs a verification

// The type stands inside what is signed, so that a statement of one kind is never taken for
// another.
std::string SignedBytes(std::string_view payload_type, std::string_view payload) {
  std::string message("quantfleet.v1\0", 14);
  message.append(payload_type).push_back('\0');
  return message.append(payload);
}

bool MaySign(const v1::VerifyKey& key, std::string_view payload_type) {
  return std::ranges::find(key.payload_types(), payload_type) != key.payload_types().end();
}

}  // namespace

v1::Signed Sign(const SigningKey& key, std::string_view payload_type, std::string_view payload) {
  v1::Signed statement;
  statement.set_payload_type(std::string(payload_type));
  statement.set_payload(std::string(payload));
  AddSignature(key, statement);
  return statement;
}

bool AddSignature(const SigningKey& key, v1::Signed& statement) {
  const std::string id = key.key_id();
  for (const v1::Signature& signature : statement.signatures())
    if (signature.key_id() == id) return false;
  v1::Signature& signature = *statement.add_signatures();
  signature.set_key_id(id);
  signature.set_value(
      key.Sign(AsBytes(SignedBytes(statement.payload_type(), statement.payload()))));
  return true;
}

absl::Status Verify(const v1::Signed& statement, std::string_view payload_type,
                    const v1::TrustRoot& root) {
  if (statement.payload_type() != payload_type)
    return PermissionDenied("expected a signed {}, not a '{}'", payload_type,
                            statement.payload_type());
  if (statement.signatures_size() == 0)
    return PermissionDenied("the {} is not signed", payload_type);
  if (statement.signatures_size() > kMaxSignatures)
    return PermissionDenied("the {} carries {} signatures; the maximum is {}", payload_type,
                            statement.signatures_size(), kMaxSignatures);
  const std::string message = SignedBytes(payload_type, statement.payload());
  for (const v1::Signature& signature : statement.signatures()) {
    for (const v1::VerifyKey& key : root.keys()) {
      // The id is derived, not read: a root entry cannot lend its key to another's id.
      if (KeyIdOf(key.public_key()) != signature.key_id() || !MaySign(key, payload_type)) continue;
      if (VerifyEd25519(key.public_key(), AsBytes(message), signature.value()))
        return absl::OkStatus();
    }
  }
  return PermissionDenied(
      "this statement is not signed by any key of trust root {} that may sign a {}", root.version(),
      payload_type);
}

}  // namespace quantfleet::trust
