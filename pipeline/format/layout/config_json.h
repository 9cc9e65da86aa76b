// config.json as Hugging Face's models have it, made from the hyper-parameters. Pure.
#pragma once

#include <boost/json.hpp>
#include <string_view>

#include "pipeline/model/description.h"

namespace quantfleet::pipeline {

// `float_type`: "float16", "bfloat16". What no member can say is left out: llama3's factors per
// frequency, as a GGUF source has them.
boost::json::object ConfigJson(const ModelDescription& model, std::string_view float_type);

}  // namespace quantfleet::pipeline
