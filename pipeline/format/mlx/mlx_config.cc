#include "pipeline/format/mlx/mlx_config.h"

#include <boost/json.hpp>

#include "common/base/json.h"
#include "pipeline/family/family.h"
#include "pipeline/format/layout/config_json.h"
#include "pipeline/format/layout/float_text.h"
#include "pipeline/model/rope.h"

namespace quantfleet::pipeline {
namespace {

namespace json = boost::json;

// What of the rotary embedding nothing in the config can say to MLX.
absl::Status CheckScaling(const Family& family, const Hyperparameters& h) {
  const RopeScaling& rope = h.rope_scaling;
  if (rope.kind != RopeScaling::Kind::kNone && !family.mlx_scales_rope)
    return Unimplemented("MLX's {} models do not scale rotary embeddings: use a gguf target",
                         family.name);
  // MLX computes LongRoPE's scale of cos and sin from the two contexts, but for phimoe.
  if (rope.kind == RopeScaling::Kind::kLongRope && !family.mlx_needs_factors &&
      !HasComputedAttentionFactor(h))
    return Unimplemented(
        "MLX cannot represent LongRoPE with an attention factor of {} (the contexts {} and {} "
        "imply {}): use a gguf target",
        *rope.attention_factor, h.context, h.original_context,
        LongRopeAttentionFactor(h.context, h.original_context));
  // A GGUF keeps the frequencies' factors alone, which no member of the config takes.
  if (rope.kind == RopeScaling::Kind::kLlama3 && !rope.freq_factors.empty())
    return Unimplemented(
        "the source has llama3's rope scaling as factors per frequency, which MLX's config cannot "
        "represent: quantize from the model's Hugging Face folder");
  return absl::OkStatus();
}

// Of a model that scales nothing, factors that do nothing.
json::object FactorsOf(const Hyperparameters& h) {
  const RopeScaling& rope = h.rope_scaling;
  const bool scaled = rope.kind == RopeScaling::Kind::kLongRope;
  const std::vector<float> ones(static_cast<size_t>(h.rope_dims / 2), 1.f);
  const auto factors = [](const std::vector<float>& values) {
    json::array out;
    for (const float v : values) out.emplace_back(Plain(v));
    return out;
  };
  const double scale = Plain(scaled ? rope.attention_factor.value_or(1.f) : 1.f);
  return {{"type", "longrope"},
          {"rope_type", "longrope"},
          {"original_max_position_embeddings", h.original_context},
          {"long_factor", factors(scaled ? rope.long_factors : ones)},
          {"short_factor", factors(scaled ? rope.short_factors : ones)},
          {"long_mscale", scale},
          {"short_mscale", scale}};
}

json::object QuantizationJson(const MlxGroups& common, const std::vector<MlxModule>& modules) {
  json::object out{{"group_size", common.size}, {"bits", common.bits}, {"mode", "affine"}};
  for (const auto& [path, groups] : modules)
    if (groups != common) out[path] = {{"group_size", groups.size}, {"bits", groups.bits}};
  return out;
}

}  // namespace

absl::StatusOr<json::object> MlxConfig(const ModelSource& source, std::string_view float_type,
                                       const std::optional<MlxGroups>& common,
                                       const std::vector<MlxModule>& modules) {
  const ModelDescription& model = source.description();
  const Hyperparameters& h = model.hyper;
  const Family& family = *model.family;
  if (!family.partial_rotary && h.rope_dims != h.head_dim)
    return Unimplemented(
        "rotating {} of {} dimensions is not supported by MLX's {} models: use a gguf target",
        h.rope_dims, h.head_dim, family.name);
  if (!family.mlx_reads_head_dim && h.head_dim * h.heads != h.hidden)
    return Unimplemented(
        "MLX's {} models compute the head size as hidden_size / num_attention_heads, which is {} "
        "instead of {}: use a gguf target",
        family.name, h.hidden / h.heads, h.head_dim);
  QF_RETURN_IF_ERROR(CheckScaling(family, h));
  json::object config;
  if (!source.config().empty()) {
    QF_ASSIGN_OR_RETURN(config, ParseJsonObject(source.config(), "config.json"));
  }
  for (const char* not_ours :
       {"_name_or_path", "quantization", "quantization_config", "compression_config"})
    config.erase(not_ours);
  const json::object ours = ConfigJson(model, float_type);
  for (const auto& [key, value] : ours)
    if (key != "architectures" && key != "model_type") config[key] = value;
  for (const char* name : {"architectures", "model_type"}) config.emplace(name, ours.at(name));
  if (config.contains("dtype")) config["dtype"] = float_type;
  if (family.mlx_needs_factors) config["rope_scaling"] = FactorsOf(h);
  if (common) {
    // Both names are read, by different versions.
    config["quantization"] = QuantizationJson(*common, modules);
    config["quantization_config"] = config["quantization"];
  }
  return config;
}

}  // namespace quantfleet::pipeline
