// genai_config.json: what ONNX Runtime GenAI reads beside the model. Pure.
#pragma once

#include <string>

#include "pipeline/model/description.h"

namespace quantfleet::pipeline {

std::string GenaiConfig(const ModelDescription& model);

}  // namespace quantfleet::pipeline
