// A calibration folder, as `quantfleet calibrate` makes it (docs/quality.md): importance.gguf,
// llama.cpp's importance matrix; second_moments.gguf where it was asked for: general.type
// "second_moments" and, per input of the model's matrices, NAME.in_xx, the lower triangle by rows
// of the sum of x_i * x_j, called by the first tensor that has the input; quantfleet.shared_inputs
// lists the others as OTHER=NAME; ranges.json where it was asked for; calibration.json, which says
// what it was made from. The files are untrusted: errors name them.
#pragma once

#include <memory>

#include "common/base/file.h"
#include "pipeline/model/calibration.h"
#include "pipeline/model/source.h"

namespace quantfleet::pipeline {

// The calibration's source is not known where the folder has no calibration.json. `model` is what
// the folder should have been made from. FAILED_PRECONDITION where a sample of its weights is
// another than calibration.json says (which older folders do not); INVALID_ARGUMENT where its
// tensors have other shapes, or where the folder is not complete or lacks the second moments that
// are asked for. `files` must outlive the result.
absl::StatusOr<Calibration> OpenCalibration(FileSystem& files, const fs::path& folder,
                                            const ModelSource& model, bool with_moments);

// second_moments.gguf alone.
absl::StatusOr<std::shared_ptr<const SecondMoments>> OpenSecondMoments(
    FileSystem& files, const fs::path& path, const ModelDescription& model);

}  // namespace quantfleet::pipeline
