// What ends a generation and how the next token is drawn, as the configurations of runtimes'
// folders say it. Pure.
#pragma once

#include <boost/json.hpp>
#include <vector>

#include "pipeline/model/source.h"

namespace quantfleet::pipeline {

// eos_token_id of every such file: an id, a list of several, null where nothing ends a generation.
boost::json::value EndIdsJson(const text::TokenizerData& tokenizer);

// Has generation_config.json among a folder's small files: the source's as it is where it names all
// that ends a generation, with that list mended where it does not, made where there is none.
absl::Status AddGenerationConfig(const ModelDescription& model, std::vector<Attachment>& files);

}  // namespace quantfleet::pipeline
