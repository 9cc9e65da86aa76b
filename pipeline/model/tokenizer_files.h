// The tokenizer's files that a runtime's folder needs: those of the source, or made from what a
// source without them says. Pure.
#pragma once

#include <string_view>
#include <vector>

#include "pipeline/model/source.h"

namespace quantfleet::pipeline {

// Files of the source's tokenizer as they are. Where it has no tokenizer.json, one is made that
// tokenizes alike (and a tokenizer_config.json where that is missing too). FAILED_PRECONDITION,
// naming `runtime` and the way out, where there is no tokenizer or none can be made.
absl::StatusOr<std::vector<Attachment>> TokenizerFilesFor(const ModelSource& source,
                                                          std::string_view runtime);

}  // namespace quantfleet::pipeline
