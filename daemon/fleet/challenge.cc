#include "daemon/fleet/challenge.h"

#include <openssl/crypto.h>

#include "common/base/digest.h"

namespace quantfleet::daemon {
namespace {

constexpr size_t kRandomBytes = 16, kTimeBytes = 8, kSealBytes = 16;
constexpr size_t kNonceBytes = kRandomBytes + kTimeBytes + kSealBytes;
constexpr size_t kHmacBlock = 64;  // SHA-256's block, RFC 2104

}  // namespace

ChallengeBook::ChallengeBook(Random& random, const Clock& clock)
    : random_(random), clock_(clock), key_(kHmacBlock) {
  random_.Fill(key_);
}

// HMAC-SHA256 (RFC 2104), cut to 16 bytes.
std::string ChallengeBook::Seal(std::string_view device_id, std::string_view body) const {
  Bytes inner_pad = key_, outer_pad = key_;
  for (std::byte& b : inner_pad) b ^= std::byte{0x36};
  for (std::byte& b : outer_pad) b ^= std::byte{0x5c};
  Sha256 inner, outer;
  inner.Update(inner_pad);
  inner.Update(
      AsBytes(body));  // of fixed length, so that body and id cannot be shifted against each other
  inner.Update(AsBytes(device_id));
  outer.Update(outer_pad);
  outer.Update(inner.Finish().span());
  return outer.Finish().raw().substr(0, kSealBytes);
}

std::string ChallengeBook::Make(std::string_view device_id) {
  Bytes random(kRandomBytes);
  random_.Fill(random);
  std::string nonce(AsText(random));
  const int64_t now = clock_.Monotonic().count();
  nonce.append(reinterpret_cast<const char*>(&now), sizeof now);
  return nonce + Seal(device_id, nonce);
}

absl::Status ChallengeBook::CheckSeal(std::string_view device_id, std::string_view nonce) const {
  if (nonce.size() != kNonceBytes)
    return Unauthenticated("the challenge is not from this daemon: get a new one");
  const std::string_view body = nonce.substr(0, kRandomBytes + kTimeBytes),
                         seal = nonce.substr(body.size());
  if (CRYPTO_memcmp(Seal(device_id, body).data(), seal.data(), kSealBytes) != 0)
    return Unauthenticated(
        "the challenge was not made for this device, or the daemon restarted: get a new one");
  const auto made = quantfleet::Load<int64_t>(AsBytes(body).data() + kRandomBytes);
  const int64_t age = clock_.Monotonic().count() - made;
  if (age < 0 || age > kLifetime.count())
    return Unauthenticated("the challenge has expired: get a new one");
  return absl::OkStatus();
}

absl::Status ChallengeBook::Check(std::string_view device_id, std::string_view nonce) const {
  QF_RETURN_IF_ERROR(CheckSeal(device_id, nonce));
  std::lock_guard lock(mutex_);
  return used_.contains(nonce) ? Unauthenticated("the challenge was already used: get a new one")
                               : absl::OkStatus();
}

absl::Status ChallengeBook::Use(std::string_view device_id, std::string_view nonce) {
  QF_RETURN_IF_ERROR(CheckSeal(device_id, nonce));
  const int64_t now = clock_.Monotonic().count();
  std::lock_guard lock(mutex_);
  if (used_.size() >= kMaxUsed) {
    std::erase_if(used_, [&](const auto& entry) { return now - entry.second > kLifetime.count(); });
    if (used_.size() >= kMaxUsed)
      return Unavailable("too many renewals at the same time: try again in a few minutes");
  }
  const auto made = quantfleet::Load<int64_t>(AsBytes(nonce).data() + kRandomBytes);
  if (!used_.emplace(nonce, made).second)
    return Unauthenticated("the challenge was already used: get a new one");
  return absl::OkStatus();
}

}  // namespace quantfleet::daemon
