#include "daemon/app/certificate_cache.h"

#include <utility>

namespace quantfleet::daemon::app {

absl::StatusOr<CertificateCache::Info> CertificateCache::Read(std::string_view pem) {
  const Digest key = HashText(pem);
  Info info;
  {
    std::lock_guard lock(mutex_);
    if (const auto found = young_.find(key); found != young_.end()) return found->second;
    if (const auto found = old_.find(key); found != old_.end()) info = found->second;
  }
  if (!info) {
    QF_ASSIGN_OR_RETURN(trust::CertificateInfo read, trust::ReadCertificate(pem));
    info = std::make_shared<const trust::CertificateInfo>(std::move(read));
  }
  std::lock_guard lock(mutex_);
  if (young_.size() >= least_) old_ = std::exchange(young_, {});
  young_.emplace(key, info);
  return info;
}

}  // namespace quantfleet::daemon::app
