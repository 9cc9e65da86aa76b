// The tokens that a fit measures by: some for the sensitivities, others to judge the mix by, none
// of which the calibration has counted.
#pragma once

#include <string>
#include <vector>

#include "common/base/digest.h"
#include "common/base/file.h"
#include "engine/decode/runnable_model.h"

namespace quantfleet::cli {

// What a calibration's folder says of its text.
struct CalibratedText {
  std::string text;  // "self", or the name of a file
  Digest digest;     // of the file's bytes
  uint64_t seed = 0;
  int64_t tokens = 0;
};
absl::StatusOr<CalibratedText> ReadCalibratedText(FileSystem& files, const fs::path& folder);

struct FitText {
  int64_t chunk = 0;
  std::vector<int32_t> measured, judged;  // whole chunks; judged may be empty
};
struct FitTextOptions {
  std::string file;                 // empty: the model writes its own
  int64_t chunk = 256, chunks = 8;  // of each of the two
  uint64_t memory_bytes = 0;
  std::stop_token stop = {};
};
// A file that the calibration was made of is read behind the tokens that it took. INVALID_ARGUMENT:
// there is no text to take, or it is too short.
absl::StatusOr<FitText> MakeFitText(engine::RunnableModel& model, const CalibratedText& calibrated,
                                    const FitTextOptions& options);

}  // namespace quantfleet::cli
