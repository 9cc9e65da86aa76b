#include "pipeline/format/layout/embedding_files.h"

#include <algorithm>

#include "pipeline/model/tokenizer_files.h"

namespace quantfleet::pipeline {
namespace {

namespace json = boost::json;

// Vectors have length 1 everywhere (docs/formats/models.md#embedding-models).
json::array Modules() {
  json::array stages;
  for (const char* kind : {"Transformer", "Pooling", "Normalize"}) {
    const size_t at = stages.size();
    stages.push_back({{"idx", at},
                      {"name", fmt::format("{}", at)},
                      {"path", at == 0 ? "" : fmt::format("{}_{}", at, kind)},
                      {"type", fmt::format("sentence_transformers.models.{}", kind)}});
  }
  return stages;
}

json::object PoolingConfig(Pooling pooling, int64_t hidden) {
  return {{"word_embedding_dimension", hidden},
          {"pooling_mode_cls_token", pooling == Pooling::kCls},
          {"pooling_mode_mean_tokens", pooling == Pooling::kMean},
          {"pooling_mode_max_tokens", false},
          {"pooling_mode_mean_sqrt_len_tokens", false},
          {"pooling_mode_weightedmean_tokens", false},
          {"pooling_mode_lasttoken", pooling == Pooling::kLast},
          {"include_prompt", true}};
}

}  // namespace

absl::StatusOr<std::vector<Attachment>> EmbeddingFiles(const ModelSource& source,
                                                       std::string_view runtime,
                                                       json::object config) {
  const ModelDescription& model = source.description();
  QF_ASSIGN_OR_RETURN(std::vector<Attachment> files, TokenizerFilesFor(source, runtime));
  const auto add = [&](const char* name, const json::value& content) {
    files.push_back({name, json::serialize(content) + "\n"});
  };
  add("config.json", config);
  add("modules.json", Modules());
  add("1_Pooling/config.json", PoolingConfig(model.embedding->pooling, model.hyper.hidden));
  std::ranges::copy(source.attachments(), std::back_inserter(files));
  return files;
}

}  // namespace quantfleet::pipeline
