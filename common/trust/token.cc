#include "common/trust/token.h"

#include <algorithm>
#include <array>

#include "common/trust/name.h"

namespace quantfleet::trust {
namespace {

struct Kind {
  std::string_view prefix, id_prefix, name, command;
};
Kind KindOf(ClaimToken::For purpose) {
  if (purpose == ClaimToken::For::kLogin)
    return {"qfl1", "c", "login code", "quantfleet operator create"};
  return {"qf1", "t", "enrollment token", "quantfleet token create"};
}

constexpr size_t kSecretSize = 16, kMaxSecretSize = 64, kMaxTextSize = 512;

std::string_view Trim(std::string_view text) {
  const auto is_space = [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; };
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

}  // namespace

ClaimToken ClaimToken::Make(Random& random, const Digest& ca_fingerprint, For purpose) {
  Bytes secret(kSecretSize);
  random.Fill(secret);
  return {random.Id(KindOf(purpose).id_prefix), std::string(AsText(secret)), ca_fingerprint,
          purpose};
}

absl::StatusOr<ClaimToken> ClaimToken::Parse(std::string_view text, For purpose) {
  const Kind kind = KindOf(purpose);
  text = Trim(text);
  if (text.size() > kMaxTextSize)
    return InvalidArgument("the {} is too long to be valid", kind.name);
  std::array<std::string_view, 4> parts;
  size_t count = 0;
  for (std::string_view rest = text;; ++count) {
    const size_t dot = rest.find('.');
    if (count < parts.size()) parts[count] = rest.substr(0, dot);
    if (dot == std::string_view::npos) break;
    rest.remove_prefix(dot + 1);
  }
  ++count;
  if (count != parts.size() || parts[0] != kind.prefix)
    return InvalidArgument(
        "not a valid {0}: it has the form {1}.<id>.<secret>.<fingerprint>; copy it completely, as "
        "`{2}` printed it",
        kind.name, kind.prefix, kind.command);
  if (!IsPlainName(parts[1]))
    return InvalidArgument("the {}'s id is damaged: copy it completely", kind.name);
  const auto secret = FromBase64Url(parts[2]);
  if (!secret || secret->size() < kSecretSize || secret->size() > kMaxSecretSize)
    return InvalidArgument("the secret of {} {} is damaged: copy it completely", kind.name,
                           parts[1]);
  const auto fingerprint = FromBase64Url(parts[3]);
  if (!fingerprint || fingerprint->size() != Digest::kSize)
    return InvalidArgument("the CA fingerprint of {} {} is damaged: copy it completely", kind.name,
                           parts[1]);
  QF_ASSIGN_OR_RETURN(const Digest ca, Digest::FromRaw(AsText(*fingerprint)));
  return ClaimToken{std::string(parts[1]), std::string(AsText(*secret)), ca, purpose};
}

std::string ClaimToken::ToString() const {
  return fmt::format("{}.{}.{}.{}", KindOf(purpose).prefix, id, ToBase64Url(AsBytes(secret)),
                     ToBase64Url(ca_fingerprint.span()));
}

Digest ClaimToken::SecretHash() const { return HashText(secret); }

}  // namespace quantfleet::trust
