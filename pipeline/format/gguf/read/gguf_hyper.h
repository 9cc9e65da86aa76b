// Family, hyper-parameters and sampling out of a GGUF header's keys, with GGUF's own
// defaults. Pure.
#pragma once

#include <optional>

#include "pipeline/family/family.h"
#include "pipeline/format/gguf/read/gguf_file.h"

namespace quantfleet::pipeline {

// UNIMPLEMENTED names what is supported.
absl::StatusOr<const Family*> ReadFamily(const GgufFile& file);

// All but what tensors tell: rope factors, and whether the embedding is tied.
absl::StatusOr<Hyperparameters> ReadHyperparameters(const GgufFile& file, const Family& family);

// How the model pools, where it is an embedding model. UNIMPLEMENTED: in another way than ours.
absl::StatusOr<std::optional<EmbeddingUse>> ReadEmbedding(const GgufFile& file,
                                                          const Family& family);

// general.sampling.*, as far as generation_config.json has words for it. A file that says how to
// sample wants it done.
absl::StatusOr<SamplingDefaults> ReadSampling(const GgufFile& file);

}  // namespace quantfleet::pipeline
