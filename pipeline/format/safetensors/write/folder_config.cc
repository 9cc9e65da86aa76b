#include "pipeline/format/safetensors/write/folder_config.h"

#include "common/base/json.h"
#include "pipeline/family/family.h"
#include "pipeline/format/layout/config_json.h"

namespace quantfleet::pipeline {
namespace {

namespace json = boost::json;

std::string_view TorchType(DType type) {
  return type == DType::kF32 ? "float32" : type == DType::kBF16 ? "bfloat16" : "float16";
}

absl::StatusOr<json::object> Made(const ModelDescription& model, std::string_view float_type) {
  const RopeScaling& rope = model.hyper.rope_scaling;
  if (rope.kind == RopeScaling::Kind::kLlama3 && !rope.freq_factors.empty())
    return Unimplemented(
        "the source has llama3's rope scaling as factors per frequency, which config.json cannot "
        "represent: quantize from the model's Hugging Face folder");
  return ConfigJson(model, float_type);
}

}  // namespace

absl::StatusOr<json::object> FolderConfig(const ModelSource& source, DType float_type,
                                          const std::optional<json::object>& quantization) {
  const ModelDescription& model = source.description();
  const std::string_view type = TorchType(float_type);
  json::object config;
  if (source.config().empty()) {
    QF_ASSIGN_OR_RETURN(config, Made(model, type));
  } else {
    QF_ASSIGN_OR_RETURN(config, ParseJsonObject(source.config(), "config.json"));
  }
  for (const char* how : {"quantization", "quantization_config", "compression_config"})
    config.erase(how);
  // Newer writers say it with the shorter name, which older readers do not know.
  if (config.contains("dtype")) config["dtype"] = type;
  if (config.contains("torch_dtype") || !config.contains("dtype")) config["torch_dtype"] = type;
  // LongRoPE by its first name, which newer readers do not know.
  if (const json::value* rope = config.if_contains("rope_scaling"); rope && rope->is_object())
    if (const json::value* kind = rope->get_object().if_contains("type"); kind && *kind == "su")
      config["rope_scaling"] = ConfigJson(model, type).at("rope_scaling");
  // A head that differs from the embedding is kept, whatever the source says.
  if (!model.embedding) config["tie_word_embeddings"] = model.hyper.tied_embeddings;
  if (quantization) config["quantization_config"] = *quantization;
  return config;
}

}  // namespace quantfleet::pipeline
