// The texts that an operator keeps for calibrating models, as files of one folder: a device class
// or a job names one of them (docs/quality.md). Thread-safe; the FileSystem must outlive it.
#pragma once

#include <string>
#include <string_view>

#include "common/base/file.h"
#include "common/base/status.h"
#include "pipeline/device/device_class.h"

namespace quantfleet::daemon {

using pipeline::CheckTextName;
using pipeline::kSelfText;

// Far more than a calibration reads of it.
inline constexpr uint64_t kMaxCalibrationText = uint64_t{2} << 20;

// INVALID_ARGUMENT: too long, empty, or not UTF-8. `name` is for the message.
absl::Status CheckText(std::string_view name, std::string_view text);

class CalibrationTexts {
 public:
  // The folder need not exist: then there are no texts.
  CalibrationTexts(FileSystem& files, fs::path folder)
      : files_(files), folder_(std::move(folder)) {}

  // INVALID_ARGUMENT: there is no such text, and which there are.
  absl::StatusOr<std::string> Read(std::string_view name) const;
  // Whether it can be read; "self" always can.
  absl::Status Check(std::string_view name) const;

 private:
  FileSystem& files_;
  const fs::path folder_;
};

}  // namespace quantfleet::daemon
