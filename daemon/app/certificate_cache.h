// What callers' certificates say, by their text. A device presents the same one at each check-in,
// and OpenSSL 3.0 takes longer to read it than the daemon takes for all the rest. Thread-safe.
//
// Only what the certificate itself says is kept: the TLS handshake has checked issuer and validity,
// and whether the holder may still call is checked each time.
#pragma once

#include <memory>
#include <mutex>
#include <string_view>
#include <unordered_map>

#include "common/base/digest.h"
#include "common/base/status.h"
#include "common/trust/certificate.h"

namespace quantfleet::daemon::app {

class CertificateCache {
 public:
  using Info = std::shared_ptr<const trust::CertificateInfo>;

  // Keeps at least the `least` most recently used certificates and at most twice as many (some 500
  // bytes each).
  explicit CertificateCache(size_t least = 1 << 14) : least_(least) {}

  // As trust::ReadCertificate.
  absl::StatusOr<Info> Read(std::string_view pem);

 private:
  using Generation = std::unordered_map<Digest, Info>;

  const size_t least_;
  std::mutex mutex_;        // guards what follows
  Generation young_, old_;  // used since the last turnover, and between the two before it
};

}  // namespace quantfleet::daemon::app
