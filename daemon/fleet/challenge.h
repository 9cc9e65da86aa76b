// Challenges for devices that enroll, or renew a certificate without holding a valid one: a nonce
// that this daemon made for that device within the last minutes, and that has not been used.
// Thread-safe.
//
// A nonce proves itself (random bytes, time, and an HMAC over both and the device's id), so that
// handing them out to anybody costs no memory and nobody can displace another's challenge. Only
// used ones are remembered, and using one takes a key that is enrolled, or that is being admitted
// or becomes pending. The HMAC's key lives as long as the process: a restart invalidates
// outstanding challenges.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <string_view>

#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/base/status.h"

namespace quantfleet::daemon {

class ChallengeBook {
 public:
  static constexpr Duration kLifetime = std::chrono::minutes(5);
  static constexpr size_t kMaxUsed = 1 << 20;

  ChallengeBook(Random& random, const Clock& clock);

  std::string Make(std::string_view device_id);
  // UNAUTHENTICATED unless the nonce is ours, for this device, fresh and unused.
  absl::Status Check(std::string_view device_id, std::string_view nonce) const;
  // As Check, and marks the nonce as used. Call it once the proof is verified.
  absl::Status Use(std::string_view device_id, std::string_view nonce);

 private:
  absl::Status CheckSeal(std::string_view device_id, std::string_view nonce) const;
  std::string Seal(std::string_view device_id, std::string_view body) const;

  Random& random_;
  const Clock& clock_;
  Bytes key_;
  mutable std::mutex mutex_;                          // guards used_
  std::map<std::string, int64_t, std::less<>> used_;  // nonce -> monotonic ms when it was made
};

}  // namespace quantfleet::daemon
