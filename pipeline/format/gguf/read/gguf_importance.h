// llama.cpp's importance matrix in its GGUF form: general.type "imatrix" and, per tensor of the
// model's GGUF, NAME.in_sum2 (one sum of squares per column) and NAME.counts. Layout and rules:
// docs/formats/gguf.md.
#pragma once

#include "common/base/file.h"
#include "pipeline/model/description.h"
#include "pipeline/model/importance.h"

namespace quantfleet::pipeline {

// What the file says of this model's matrices; a tensor that it does not name has none, and at
// least one has. As much memory as the matrices' columns need. The file is untrusted: errors name
// it, and the tensor.
absl::StatusOr<Importance> ReadImportance(FileSystem& files, const fs::path& path,
                                          const ModelDescription& model);

}  // namespace quantfleet::pipeline
