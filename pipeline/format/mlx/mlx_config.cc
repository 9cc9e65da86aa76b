#include "pipeline/format/mlx/mlx_config.h"

#include <boost/json.hpp>
#include <cmath>

#include "pipeline/format/layout/float_text.h"
#include "pipeline/model/rope.h"

namespace quantfleet::pipeline {
namespace {

namespace json = boost::json;

json::array Floats(const std::vector<float>& values) {
  json::array out;
  for (const float v : values) out.emplace_back(Plain(v));
  return out;
}

// MLX computes LongRoPE's scale of cos and sin from the two contexts; nothing in the config can say another.
absl::Status CheckAttentionFactor(const Hyperparameters& h) {
  const float computed = LongRopeAttentionFactor(h.context, h.original_context);
  const float factor = h.rope_scaling.attention_factor.value_or(computed);
  if (std::abs(factor - computed) <= 1e-5f * computed) return absl::OkStatus();
  return Unimplemented(
      "LongRoPE with an attention factor of {} (the contexts {} and {} give {}) cannot be said to "
      "MLX: take a gguf target",
      factor, h.context, h.original_context, computed);
}

absl::StatusOr<json::value> ScalingJson(const Hyperparameters& h) {
  const RopeScaling& rope = h.rope_scaling;
  switch (rope.kind) {
    case RopeScaling::Kind::kNone:
      return nullptr;
    case RopeScaling::Kind::kLinear:
      return json::object{{"type", "linear"}, {"rope_type", "linear"}, {"factor", Plain(rope.factor)}};
    case RopeScaling::Kind::kLongRope:
      QF_RETURN_IF_ERROR(CheckAttentionFactor(h));
      return json::object{{"type", "longrope"},
                          {"rope_type", "longrope"},
                          {"original_max_position_embeddings", h.original_context},
                          {"long_factor", Floats(rope.long_factors)},
                          {"short_factor", Floats(rope.short_factors)}};
    case RopeScaling::Kind::kLlama3:
      // A GGUF keeps the frequencies' factors alone, which no member of the config takes.
      if (!rope.freq_factors.empty())
        return Unimplemented(
            "the source has llama3's rope scaling as factors per frequency, which MLX's config "
            "cannot hold: quantize from the model's Hugging Face folder");
      return json::object{{"type", "llama3"},
                          {"rope_type", "llama3"},
                          {"factor", Plain(rope.factor)},
                          {"low_freq_factor", Plain(rope.low_freq_factor)},
                          {"high_freq_factor", Plain(rope.high_freq_factor)},
                          {"original_max_position_embeddings", h.original_context}};
  }
  return nullptr;
}

std::string_view ClassName(Architecture architecture) {
  switch (architecture) {
    case Architecture::kPhi3:
      return "Phi3ForCausalLM";
    case Architecture::kLlama:
      return "LlamaForCausalLM";
    case Architecture::kQwen2:
      return "Qwen2ForCausalLM";
  }
  return "";
}

json::object QuantizationJson(int bits, const std::vector<MlxModule>& modules) {
  json::object out{{"group_size", kMlxGroup}, {"bits", bits}, {"mode", "affine"}};
  for (const MlxModule& module : modules)
    if (module.bits != bits) out[module.path] = {{"group_size", kMlxGroup}, {"bits", module.bits}};
  return out;
}

}  // namespace

absl::StatusOr<std::string> MlxConfig(const ModelDescription& model, std::string_view float_type, int bits,
                                      const std::vector<MlxModule>& modules) {
  const Hyperparameters& h = model.hyper;
  const bool phi3 = model.architecture == Architecture::kPhi3;
  if (!phi3 && h.rope_dims != h.head_dim)
    return Unimplemented("{} of {} rotated dimensions cannot be said to MLX's {} models: take a gguf target",
                         h.rope_dims, h.head_dim, Name(model.architecture));
  if (model.architecture != Architecture::kLlama && h.head_dim * h.heads != h.hidden)
    return Unimplemented(
        "MLX's {} models take the head's size from hidden_size / num_attention_heads, which is {}, not "
        "{}: take a gguf target",
        Name(model.architecture), h.hidden / h.heads, h.head_dim);
  QF_ASSIGN_OR_RETURN(json::value scaling, ScalingJson(h));
  json::object config{{"architectures", json::array{ClassName(model.architecture)}},
                      {"model_type", Name(model.architecture)},
                      {"hidden_size", h.hidden},
                      {"intermediate_size", h.intermediate},
                      {"num_hidden_layers", h.layers},
                      {"num_attention_heads", h.heads},
                      {"num_key_value_heads", h.kv_heads},
                      {"vocab_size", h.vocab},
                      {"max_position_embeddings", h.context},
                      {"rms_norm_eps", Plain(h.rms_epsilon)},
                      {"rope_theta", Plain(h.rope_theta)},
                      {"rope_scaling", std::move(scaling)},
                      {"hidden_act", "silu"},
                      {"tie_word_embeddings", h.tied_embeddings},
                      {"torch_dtype", float_type}};
  if (phi3) {
    config["original_max_position_embeddings"] = h.original_context;
    config["partial_rotary_factor"] = static_cast<double>(h.rope_dims) / static_cast<double>(h.head_dim);
    if (h.sliding_window > 0) config["sliding_window"] = h.sliding_window;
  } else {
    config["head_dim"] = h.head_dim;
  }
  const auto token = [&](const char* key, const std::optional<int32_t>& id) {
    if (id) config[key] = *id;
  };
  token("bos_token_id", model.tokenizer.bos);
  token("eos_token_id", model.tokenizer.eos);
  token("pad_token_id", model.tokenizer.padding);
  if (!modules.empty()) {
    // Both names are read, by different versions.
    config["quantization"] = QuantizationJson(bits, modules);
    config["quantization_config"] = config["quantization"];
  }
  return json::serialize(config) + "\n";
}

}  // namespace quantfleet::pipeline
