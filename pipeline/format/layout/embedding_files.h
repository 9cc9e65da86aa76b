// The small files of a folder from which sentence-transformers and those who read its folders make
// embeddings, beside the weights in whatever format. Pure.
#pragma once

#include <boost/json.hpp>
#include <string_view>
#include <vector>

#include "pipeline/model/source.h"

namespace quantfleet::pipeline {

// Those of the tokenizer, as TokenizerFilesFor has them, and of the source's attachments;
// config.json with `config`, modules.json and the configuration of the pooling stage.
absl::StatusOr<std::vector<Attachment>> EmbeddingFiles(const ModelSource& source,
                                                       std::string_view runtime,
                                                       boost::json::object config);

}  // namespace quantfleet::pipeline
