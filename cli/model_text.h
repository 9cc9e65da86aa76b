// Models and manifests as JSON, and that JSON as lines for people: one description, two renderings.
// Pure.
#pragma once

#include <boost/json/object.hpp>
#include <string>

#include "pipeline/artifact/manifest.h"
#include "pipeline/artifact/memory.h"
#include "pipeline/model/source.h"
#include "text/template/chat_template.h"

namespace quantfleet::cli {

// What quantfleet-agent makes of the model's chat template.
text::ChatTemplate ChatTemplateOf(const text::TokenizerData& tokenizer);

// template: "known", "unknown" (why) or "absent"; drops_system; tools, whether they have a place in
// it; warning, if there is one.
boost::json::object ChatJson(const text::TokenizerData& tokenizer);

// kind "model": format, architecture, hyperparameters, tokenizer, chat template, tensors with type
// and shape, sizes.
boost::json::object DescribeModel(const pipeline::ModelSource& source);
// kind "artifact": names, requirements, files.
boost::json::object DescribeManifest(const v1::Manifest& manifest);

// What running it takes: the terms in bytes, and as text for people.
boost::json::object NeedJson(const pipeline::MemoryNeed& need);

// For scripts: one line of JSON, valid whatever the model calls its things.
std::string Serialized(boost::json::object object);

// "key: value" lines; lists of objects become tables.
std::string Readable(const boost::json::object& object);

}  // namespace quantfleet::cli
