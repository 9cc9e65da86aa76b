// Measured sensitivities as a file, sensitivities.json in a calibration's folder, so that what was
// measured once is there for a run that resumes and for other budgets and formats.
#pragma once

#include <string_view>
#include <vector>

#include "common/base/digest.h"
#include "common/base/file.h"
#include "engine/measure/sensitivity.h"

namespace quantfleet::engine {

inline constexpr std::string_view kSensitivitiesFile = "sensitivities.json";

// What they hang on.
struct SensitivityOrigin {
  Digest source;         // of the model, as manifests have it
  Digest statistics;     // that rounding went by
  Digest tokens;         // of the text
  std::string rounding;  // "feedback"
  std::string spoiled;   // the type that weights were spoiled to: "q4_0"
  int64_t chunk = 0, judged = 0;

  Digest digest() const;
};

struct MeasuredCell {
  SensitivityCell cell;
  double divergence = 0;
};

// Empty: there is no such file, it is damaged, or of another origin; it is then measured again.
absl::StatusOr<std::vector<MeasuredCell>> ReadSensitivities(FileSystem& files, const fs::path& path,
                                                            const SensitivityOrigin& origin);
absl::Status WriteSensitivities(FileSystem& files, const fs::path& path,
                                const SensitivityOrigin& origin,
                                const std::vector<MeasuredCell>& cells);

}  // namespace quantfleet::engine
