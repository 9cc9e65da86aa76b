// The manifests of all artifacts, one after the other.
#pragma once

#include <functional>
#include <string>

#include "daemon/store/store.h"
#include "quantfleet/v1/manifest.pb.h"

namespace quantfleet::daemon {

// `manifest`: null when it is damaged. Ends with the first error of `visit`, which is called
// outside of transactions.
absl::Status ForEachManifest(
    Store& store,
    const std::function<absl::Status(const std::string& artifact, const v1::Manifest* manifest)>&
        visit);

}  // namespace quantfleet::daemon
