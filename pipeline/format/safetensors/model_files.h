// Which files make a model: the one answer that quantizing, inspecting, pushing and importing go
// by. A folder of a Hugging Face model, the hub's cache of one (models--ORG--NAME), a GGUF file, or
// a folder with one GGUF file; one that was split (NAME-00001-of-00003.gguf) is all of its files.
// Reads names, the index of shards and the first bytes of each file.
//
// Weights of a folder are model.safetensors or the shards that model.safetensors.index.json names,
// and a GGUF file only where it has neither. Adapters are merged where the folder has a list of
// them. Names that begin with a dot are never part of a model
// (._config.json of macOS, .cache of the hub's tools).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/base/file.h"
#include "pipeline/format/safetensors/adapter_list.h"
#include "pipeline/format/safetensors/shard_index.h"

namespace quantfleet::pipeline {

struct ModelFile {
  enum class Part {
    kConfiguration,
    kWeights,
    kIndex,
    kTokenizer,
    kGeneration,
    kPooling,
    kAttachment,
    kAdapter
  };
  Part part;
  // In the folder, or below it: "1_Pooling/config.json". The path of an adapter that was added.
  std::string name;
  uint64_t size = 0;  // bytes
};
std::string_view PartName(ModelFile::Part part);  // "weights"

// transformers' folder of a model's other chat templates, each a file NAME.jinja.
inline constexpr std::string_view kTemplateFolder = "additional_chat_templates";

struct ModelFiles {
  fs::path folder;
  std::string name;  // of the model, for people: that of its folder or file
  // `files` is one GGUF file, or those that one was split into, by number; else safetensors and
  // what belongs to them.
  bool gguf = false;
  std::vector<ModelFile> files;  // by name
  ShardIndex shards;             // unless `gguf`
  // Merged into the weights, in this order: those in the folder that its list names
  // (adapter_list.h), then those that were added.
  std::vector<LoraChoice> adapters;
  // What stands there, looks like a part of a model, and is not read, with the reason: "m.gguf:
  // ...".
  std::vector<std::string> ignored;
  std::string why;  // which weights, and why these: "the 2 shards that ... names"

  bool Has(std::string_view file) const;
};

// Errors name the file, or both of two that exclude each other, and say what to do. NOT_FOUND with
// the command that downloads it: `path` is the hub's name of a model and not there.
absl::StatusOr<ModelFiles> ResolveModel(FileSystem& files, const fs::path& path);

// Adapters from elsewhere, to be merged after those that the folder has. Errors name the file.
absl::Status AddAdapters(FileSystem& files, const std::vector<LoraChoice>& choices,
                         ModelFiles& model);

// "microsoft/Phi-3-mini-4k-instruct": what the hub calls a model.
bool IsHubName(std::string_view path);
// "hf download ORG/NAME --local-dir NAME"
std::string DownloadCommand(std::string_view hub_name);

}  // namespace quantfleet::pipeline
