// The tokenizer of an OpenVINO folder as graphs, which OpenVINO GenAI runs and which its own tool
// (convert_tokenizer) would make in Python. Pure.
#pragma once

#include <vector>

#include "common/base/status.h"
#include "pipeline/model/source.h"

namespace quantfleet::pipeline {

// openvino_tokenizer.xml and .bin, and the same of a detokenizer where the model generates text,
// for a folder with these `files`: what its tokenizer.json says, with the beginning and end of a
// text that the model's files name. UNIMPLEMENTED names what OpenVINO's operations cannot do with
// the same ids; other errors what is wrong with the file.
absl::StatusOr<std::vector<Attachment>> OpenVinoTokenizerFiles(
    const ModelDescription& model, const std::vector<Attachment>& files);

}  // namespace quantfleet::pipeline
