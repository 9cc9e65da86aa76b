// Whether what stands in a slot is still what was put there: disks forget, and files are changed.
#pragma once

#include <stop_token>
#include <vector>

#include "agent/update/sleeper.h"
#include "agent/update/verdict.h"
#include "common/base/file.h"
#include "quantfleet/v1/manifest.pb.h"

namespace quantfleet::agent {

// What runs meanwhile is to have the disk and the cores for itself.
inline constexpr uint64_t kCheckBytesPerSecond = 64 << 20;

// Reads the files back, at that rate behind the first second's bytes: the chunks that are damaged
// or missing, counted over all files of the manifest. kInterrupted: `stop`. Thread-safe.
Tried<std::vector<uint32_t>> FindDamage(FileSystem& files, const fs::path& folder,
                                        const v1::Manifest& manifest, const Clock& clock,
                                        Sleeper& sleeper, std::stop_token stop);

// Bytes of all its files.
uint64_t SizeOf(const v1::Manifest& manifest);

}  // namespace quantfleet::agent
