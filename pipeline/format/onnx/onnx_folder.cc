#include "pipeline/format/onnx/onnx_folder.h"

#include <algorithm>
#include <boost/json.hpp>

#include "common/base/json.h"
#include "pipeline/family/family.h"
#include "pipeline/format/layout/config_json.h"
#include "pipeline/format/layout/embedding_files.h"
#include "pipeline/format/layout/generation.h"
#include "pipeline/format/onnx/genai_config.h"
#include "pipeline/model/tokenizer_files.h"
#include "pipeline/tensor/part.h"

namespace quantfleet::pipeline {
namespace {

absl::StatusOr<std::vector<Attachment>> GenaiFolder(const ModelSource& source,
                                                    const ModelDescription& model,
                                                    OnnxFlavour flavour) {
  QF_ASSIGN_OR_RETURN(std::vector<Attachment> small,
                      TokenizerFilesFor(source, "ONNX Runtime GenAI"));
  QF_RETURN_IF_ERROR(AddGenerationConfig(model, small));
  small.push_back({"genai_config.json", GenaiConfig(model, flavour == OnnxFlavour::kMicrosoft)});
  std::ranges::copy(source.attachments(), std::back_inserter(small));
  return small;
}

// transformers.js looks for a graph by its precision, unless it is told, and asks for weights
// beside it only where the configuration has them. How many files of weights there are is known
// when they are planned.
boost::json::object ForTransformersJs(const ModelDescription& model, std::string_view precision,
                                      size_t files) {
  boost::json::object config = ConfigJson(model, precision == "q4f16" ? "float16" : "float32");
  // Older versions have `true` alone. Those before 4 do not ask the graph for the cache's type.
  boost::json::object own{{"dtype", precision}, {"use_external_data_format", true}};
  if (files > 1) own["use_external_data_format"] = files;
  if (precision == "q4f16") own["kv_cache_dtype"] = {{"q4f16", "float16"}};
  config["transformers.js_config"] = std::move(own);
  return config;
}

// transformers.js reads the chat template there alone, not from a file of its own.
absl::Status HaveTemplate(const std::string& chat_template, Attachment& tokenizer_config) {
  constexpr std::string_view kTemplate = "chat_template";
  QF_ASSIGN_OR_RETURN(boost::json::object config,
                      ParseJsonObject(tokenizer_config.content, tokenizer_config.name));
  if (chat_template.empty() || config.contains(kTemplate)) return absl::OkStatus();
  config[kTemplate] = chat_template;
  tokenizer_config.content = boost::json::serialize(config) + "\n";
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Attachment>> WebFolder(const ModelSource& source,
                                                  const ModelDescription& model,
                                                  std::string_view precision, size_t files) {
  QF_ASSIGN_OR_RETURN(std::vector<Attachment> small, TokenizerFilesFor(source, "transformers.js"));
  for (Attachment& file : small)
    if (file.name == "tokenizer_config.json")
      QF_RETURN_IF_ERROR(HaveTemplate(model.tokenizer.chat_template, file));
  QF_RETURN_IF_ERROR(AddGenerationConfig(model, small));
  small.push_back(
      {"config.json", boost::json::serialize(ForTransformersJs(model, precision, files)) + "\n"});
  std::ranges::copy(source.attachments(), std::back_inserter(small));
  return small;
}

// ArrayBuffers of browsers end there.
constexpr uint64_t kMostInBrowser = (uint64_t{1} << 31) - (uint64_t{1} << 20);

}  // namespace

absl::StatusOr<OnnxFolder> FolderOf(const ModelDescription& model, const Recipe& recipe) {
  if (model.embedding)
    return OnnxFolder{OnnxFolder::Kind::kEmbedding, "onnx/model.onnx", "onnx/model.onnx_data"};
  if (!recipe.web) return OnnxFolder{};
  if (!model.family->transformers_js)
    return Unimplemented("transformers.js runs no {} models: use a target without -web, or gguf",
                         model.family->name);
  const bool four = CodeBits(recipe.body) == 4;
  if (recipe.half && !four)
    return Unimplemented(
        "transformers.js has no name for 8 bits with activations in F16: leave out -f16 or -web, "
        "or use int4");
  OnnxFolder folder{.kind = OnnxFolder::Kind::kWeb,
                    .precision = !four         ? "q8"
                                 : recipe.half ? "q4f16"
                                               : "q4",
                    .most_bytes = kMostInBrowser};
  folder.graph = fmt::format("onnx/model_{}.onnx", four ? folder.precision : "quantized");
  folder.weights = folder.graph + "_data";
  return folder;
}

absl::StatusOr<std::vector<Attachment>> SmallFiles(const ModelSource& source,
                                                   const ModelDescription& model,
                                                   const OnnxFolder& folder, OnnxFlavour flavour,
                                                   size_t weights) {
  switch (folder.kind) {
    case OnnxFolder::Kind::kGenai:
      return GenaiFolder(source, model, flavour);
    case OnnxFolder::Kind::kWeb:
      return WebFolder(source, model, folder.precision, weights);
    case OnnxFolder::Kind::kEmbedding:
      break;
  }
  return EmbeddingFiles(source, "ONNX Runtime",
                        ForTransformersJs(model, folder.precision, weights));
}

}  // namespace quantfleet::pipeline
