// What this machine is: the facts that decide its device class, and how an operator overrides them.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/file.h"
#include "common/base/status.h"
#include "quantfleet/v1/types.pb.h"

namespace quantfleet::agent {

// Thread-safe.
class Hardware {
 public:
  virtual ~Hardware() = default;
  // Everything that is not measured; disk_free_bytes is for the file system that holds `state`.
  // What cannot be found stays unset.
  virtual v1::HardwareFacts Find(const fs::path& state) const = 0;
  // The bytes that a program started now could still use, as in Find; 0: unknown. Looks at nothing
  // else.
  virtual uint64_t MemoryAvailable() const = 0;
  // Gigabytes per second read from main memory by all cores together, measured in at most about 100
  // ms.
  virtual double MeasureBandwidth() const = 0;
};

// `root`: where /proc, /sys and /dev are looked for.
std::unique_ptr<Hardware> MakeHardware(FileSystem& files, fs::path root = "/");

// Find plus what is measured, once, and kept in STATE/measured.json until the processor changes.
// `measure_kernel`: measures kernel_gops.
v1::HardwareFacts FindFacts(FileSystem& files, const Hardware& hardware,
                            const std::function<double()>& measure_kernel, const fs::path& state);

// Overrides: a HardwareFacts in which only what is to be replaced is set.
absl::StatusOr<v1::HardwareFacts> ReadFactsFile(FileSystem& files, const fs::path& json);
// "key=value", as in form=iot or instruction_sets=avx2,fma; sets one field of `overrides`.
absl::Status AddFact(std::string_view assignment, v1::HardwareFacts* overrides);
// Every field that is set in `overrides` replaces that of `facts`, lists as a whole.
void Override(const v1::HardwareFacts& overrides, v1::HardwareFacts* facts);

// The overrides that `enroll` got are kept, so that `start` reports the same: STATE/facts.json,
// absent when there were none.
absl::StatusOr<v1::HardwareFacts> LoadOverrides(FileSystem& files, const fs::path& state);
absl::Status SaveOverrides(FileSystem& files, const fs::path& state,
                           const v1::HardwareFacts& overrides);

}  // namespace quantfleet::agent
