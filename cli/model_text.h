// Models and manifests as JSON, and that JSON as lines for people: one description, two renderings. Pure.
#pragma once

#include <boost/json/object.hpp>
#include <string>

#include "pipeline/artifact/manifest.h"
#include "pipeline/artifact/memory.h"
#include "pipeline/model/source.h"

namespace quantfleet::cli {

// kind "model": format, architecture, hyperparameters, tokenizer, tensors with dtype and shape, sizes.
boost::json::object DescribeModel(const pipeline::ModelSource& source);
// kind "artifact": names, requirements, files.
boost::json::object DescribeManifest(const v1::Manifest& manifest);

// What running takes: the terms in bytes, and as people read them.
boost::json::object NeedJson(const pipeline::MemoryNeed& need);

// "key: value" lines; lists of objects become tables.
std::string Readable(const boost::json::object& object);

}  // namespace quantfleet::cli
