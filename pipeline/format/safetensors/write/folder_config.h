// config.json of a folder for transformers. Pure.
#pragma once

#include <boost/json.hpp>
#include <optional>

#include "common/base/status.h"
#include "pipeline/model/source.h"

namespace quantfleet::pipeline {

// The source's members where it has some that describe the model, otherwise made from the
// description; with the type of the floats, and how weights are quantized in place of how they
// were. UNIMPLEMENTED names a setting of the model that no member can say.
absl::StatusOr<boost::json::object> FolderConfig(
    const ModelSource& source, DType float_type,
    const std::optional<boost::json::object>& quantization);

}  // namespace quantfleet::pipeline
