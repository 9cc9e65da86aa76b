// genai_config.json of a folder for Qualcomm's NPU: a pipeline of two graphs. Pure.
#pragma once

#include <string>

#include "pipeline/model/description.h"

namespace quantfleet::pipeline {

inline constexpr const char *kContextGraph = "context", *kIteratorGraph = "iterator";

// `context`: tokens that the graphs' cache holds; `window`: of a step of the context graph.
std::string QnnConfig(const ModelDescription& model, int64_t context, int64_t window);

}  // namespace quantfleet::pipeline
