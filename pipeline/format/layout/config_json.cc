#include "pipeline/format/layout/config_json.h"

#include <algorithm>
#include <cmath>

#include "pipeline/family/family.h"
#include "pipeline/format/layout/float_text.h"
#include "pipeline/format/layout/generation.h"
#include "pipeline/model/rope.h"

namespace quantfleet::pipeline {
namespace {

namespace json = boost::json;

json::array Floats(const std::vector<float>& values) {
  json::array out;
  for (const float v : values) out.emplace_back(Plain(v));
  return out;
}

json::value ScalingJson(const Hyperparameters& h) {
  const RopeScaling& rope = h.rope_scaling;
  switch (rope.kind) {
    case RopeScaling::Kind::kNone:
      return nullptr;
    case RopeScaling::Kind::kLinear:
      return json::object{
          {"type", "linear"}, {"rope_type", "linear"}, {"factor", Plain(rope.factor)}};
    case RopeScaling::Kind::kLongRope: {
      json::object out{{"type", "longrope"},
                       {"rope_type", "longrope"},
                       {"original_max_position_embeddings", h.original_context},
                       {"long_factor", Floats(rope.long_factors)},
                       {"short_factor", Floats(rope.short_factors)}};
      if (!HasComputedAttentionFactor(h)) out["attention_factor"] = Plain(*rope.attention_factor);
      return out;
    }
    case RopeScaling::Kind::kYarn:
      return json::object{{"type", "yarn"},
                          {"rope_type", "yarn"},
                          {"factor", Plain(rope.factor)},
                          {"beta_fast", Plain(rope.beta_fast)},
                          {"beta_slow", Plain(rope.beta_slow)},
                          {"truncate", false},
                          {"original_max_position_embeddings", h.original_context}};
    case RopeScaling::Kind::kLlama3:
      if (!rope.freq_factors.empty()) return nullptr;
      return json::object{{"type", "llama3"},
                          {"rope_type", "llama3"},
                          {"factor", Plain(rope.factor)},
                          {"low_freq_factor", Plain(rope.low_freq_factor)},
                          {"high_freq_factor", Plain(rope.high_freq_factor)},
                          {"original_max_position_embeddings", h.original_context}};
  }
  return nullptr;
}

void Add(ConfigMember member, const Family& family, const Hyperparameters& h,
         json::object& config) {
  switch (member) {
    case ConfigMember::kHeadDim:
      config["head_dim"] = h.head_dim;
      break;
    case ConfigMember::kOriginalContext:
      config["original_max_position_embeddings"] = h.original_context;
      break;
    case ConfigMember::kPartialRotaryFactor:
      config["partial_rotary_factor"] =
          static_cast<double>(h.rope_dims) / static_cast<double>(h.head_dim);
      break;
    case ConfigMember::kSlidingWindow:
      if (h.sliding_window > 0) config["sliding_window"] = h.sliding_window;
      break;
    case ConfigMember::kNoBiases:
      config["attention_bias"] = config["mlp_bias"] = false;
      break;
    case ConfigMember::kNoRopeLayers: {
      json::array turned;
      for (int64_t layer = 0; layer < h.layers; ++layer)
        turned.emplace_back(TurnsLayer(family, layer) ? 1 : 0);
      config["no_rope_layers"] = std::move(turned);
      config["no_rope_layer_interval"] = family.unturned_every;
      break;
    }
    case ConfigMember::kGptOss:
      config["attention_bias"] = true;
      config["swiglu_limit"] = 7.0;
      break;
    case ConfigMember::kHiddenActivation:
      config["hidden_activation"] = family.hidden_act.front();
      break;
    case ConfigMember::kQueryScalar:
      config["query_pre_attn_scalar"] = QueryScalar(family, h);
      break;
    case ConfigMember::kWindowPattern: {
      json::array types;
      for (int64_t layer = 0; layer < h.layers; ++layer)
        types.emplace_back(WindowOf(h, layer) > 0 ? "sliding_attention" : "full_attention");
      config["layer_types"] = std::move(types);
      // mlx-lm goes by this one; 1: all layers see everything.
      config["sliding_window_pattern"] = std::max<int64_t>(h.full_every, 1);
      break;
    }
    case ConfigMember::kLocalRopeTheta:
      if (h.sliding_rope_theta != 0) config["rope_local_base_freq"] = Plain(h.sliding_rope_theta);
      break;
    case ConfigMember::kPhimoe:
      config["attention_bias"] = config["lm_head_bias"] = true;
      config["router_jitter_noise"] = Plain(kRouterNoise);
      // transformers wants to read the one scale of both sets of factors twice.
      if (json::object* scaling = config["rope_scaling"].if_object())
        (*scaling)["long_mscale"] = (*scaling)["short_mscale"] =
            Plain(h.rope_scaling.attention_factor.value_or(1.f));
      break;
    case ConfigMember::kExpertsInAllLayers:
      config["decoder_sparse_step"] = 1;
      config["mlp_only_layers"] = json::array();
      config["norm_topk_prob"] = true;
      break;
  }
}

}  // namespace

json::object ConfigJson(const ModelDescription& model, std::string_view float_type) {
  const Hyperparameters& h = model.hyper;
  const HfClass& hf = model.family->classes.front();
  json::object config{{"architectures", json::array{hf.name}},
                      {"model_type", hf.model_type},
                      {"hidden_size", h.hidden},
                      {"intermediate_size", h.intermediate},
                      {"num_hidden_layers", h.layers},
                      {"num_attention_heads", h.heads},
                      {"num_key_value_heads", h.kv_heads},
                      {"vocab_size", h.vocab},
                      {"max_position_embeddings", h.context},
                      {model.family->epsilon.hf, Plain(h.norm_epsilon)},
                      {"rope_theta", Plain(h.rope_theta)},
                      {"rope_scaling", ScalingJson(h)},
                      {"hidden_act", model.family->hidden_act.front()},
                      {"tie_word_embeddings", h.tied_embeddings},
                      {"torch_dtype", float_type}};
  for (const ConfigMember member : model.family->config_members)
    Add(member, *model.family, h, config);
  if (model.family->experts) {
    const ExpertsOf& names = *model.family->experts;
    config[names.count.hf] = h.experts;
    config[names.used.hf] = h.experts_used;
    if (!names.width.hf.empty()) config[names.width.hf] = h.expert_width;
  }
  for (const FamilyScalar& scalar : model.family->scalars)
    config[scalar.name.hf] = Plain(h.*scalar.value);
  if (model.family->encoder) {
    for (const char* of_decoders : {"rope_theta", "rope_scaling", "num_key_value_heads"})
      config.erase(of_decoders);
    config["type_vocab_size"] = h.token_types;
    config["position_embedding_type"] = "absolute";
  }
  if (model.embedding && model.embedding->any_dimensions) config["is_matryoshka"] = true;
  if (model.embedding && !model.embedding->dimensions.empty())
    config["matryoshka_dimensions"] = json::value_from(model.embedding->dimensions);
  const auto token = [&](const char* key, const std::optional<int32_t>& id) {
    if (id) config[key] = *id;
  };
  token("bos_token_id", model.tokenizer.bos);
  if (json::value ends = EndIdsJson(model.tokenizer); !ends.is_null())
    config["eos_token_id"] = std::move(ends);
  token("pad_token_id", model.tokenizer.padding);
  return config;
}

}  // namespace quantfleet::pipeline
