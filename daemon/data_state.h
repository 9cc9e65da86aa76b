// Whether the state and the keys in a data folder belong together and are whole: looked at before a
// daemon starts on it. Without this, a lost database would silently become an empty fleet whose
// devices nobody knows, and a damaged one would be found by whoever needs the damaged part.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/status.h"
#include "daemon/store/store.h"

namespace quantfleet::daemon {

// Before the store is opened, with the folder's lock held. FAILED_PRECONDITION: there are keys, but
// no state. DATA_LOSS: the state is damaged. Both name the ways out.
absl::Status CheckState(FileSystem& files, const Clock& clock, const fs::path& data,
                        const std::function<void(std::string_view)>& warn);
// Before keys that are missing are made. FAILED_PRECONDITION: the state knows devices or signed
// artifacts, and the keys are lost.
absl::Status CheckKeys(FileSystem& files, Store& store, const fs::path& data);

// The way out: moves what is left of a fleet that CheckState or CheckKeys refuses to a folder of
// its own beside it, so that a backup can be restored or a new fleet begun. Returns what was done,
// for people. FAILED_PRECONDITION: nothing is wrong with it, or a daemon runs on it.
absl::StatusOr<std::string> SetAside(FileSystem& files, const Clock& clock, const fs::path& data);

}  // namespace quantfleet::daemon
