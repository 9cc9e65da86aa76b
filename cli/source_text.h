// Which files a command takes for the model, and why, for people and as JSON.
#pragma once

#include <boost/json/object.hpp>
#include <string>

#include "CLI/CLI.hpp"
#include "pipeline/format/safetensors/model_files.h"
#include "pipeline/model/description.h"

namespace quantfleet::cli {

// The model that a command reads.
void AddSourceArgument(CLI::App* command, std::string& source);

// "/models/phi: the weights are the 2 shards that ... names (7.1 GiB); also read: config.json", and
// a line for each adapter, and for each file that is not read although it looks as if it should be.
std::string FilesText(const pipeline::ModelFiles& model);

// "the adapter tone at 0.5 times its scale"
std::string AdapterText(std::string_view name, double scale);

// folder, why, files with part and bytes, adapters, ignored.
boost::json::object FilesJson(const pipeline::ModelFiles& model);

// The text, on stderr.
void PrintFiles(const pipeline::ModelFiles& model);

// Warnings on stderr: what the model lacks, and what will come of chats with it.
void WarnOf(const pipeline::ModelDescription& model);

}  // namespace quantfleet::cli
