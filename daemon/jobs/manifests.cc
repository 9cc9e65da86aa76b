#include "daemon/jobs/manifests.h"

namespace quantfleet::daemon {

absl::Status ForEachManifest(
    Store& store,
    const std::function<absl::Status(const std::string&, const v1::Manifest*)>& visit) {
  constexpr size_t kAtOnce = 16;  // that of a large artifact has megabytes
  for (std::string after;;) {
    QF_ASSIGN_OR_RETURN(const auto page, store.Read([&](const Transaction& tx) {
      return tx.artifacts().ListManifests(after, kAtOnce);
    }));
    for (const auto& [name, bytes] : page) {
      v1::Manifest manifest;
      const bool whole = !bytes.empty() && manifest.ParseFromString(bytes);
      QF_RETURN_IF_ERROR(visit(name, whole ? &manifest : nullptr));
    }
    if (page.size() < kAtOnce) return absl::OkStatus();
    after = page.back().first;
  }
}

}  // namespace quantfleet::daemon
