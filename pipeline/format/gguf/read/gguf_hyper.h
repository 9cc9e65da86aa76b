// Architecture, hyper-parameters and sampling out of a GGUF header's keys, with GGUF's own
// defaults. Pure.
#pragma once

#include "pipeline/format/gguf/read/gguf_file.h"
#include "pipeline/model/description.h"

namespace quantfleet::pipeline {

absl::StatusOr<Architecture> ReadArchitecture(
    const GgufFile& file);  // UNIMPLEMENTED names what is supported

// All but what tensors tell: rope factors, and whether the embedding is tied.
absl::StatusOr<Hyperparameters> ReadHyperparameters(const GgufFile& file,
                                                    Architecture architecture);

// general.sampling.*, as far as generation_config.json has words for it. A file that says how to
// sample wants it done.
absl::StatusOr<SamplingDefaults> ReadSampling(const GgufFile& file);

}  // namespace quantfleet::pipeline
