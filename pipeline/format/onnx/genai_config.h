// genai_config.json: what ONNX Runtime GenAI reads beside the model. Pure.
#pragma once

#include <string>

#include "pipeline/model/description.h"

namespace quantfleet::pipeline {

// `shares_buffer`: past and present may be one buffer, as GroupQueryAttention has them.
std::string GenaiConfig(const ModelDescription& model, bool shares_buffer);

}  // namespace quantfleet::pipeline
