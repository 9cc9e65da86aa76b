#include "pipeline/format/safetensors/hf_experts.h"

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>

namespace quantfleet::pipeline {
namespace {

// llama.cpp has no layers of Qwen 3 without experts, and makes the weights sum to 1 whatever the
// model was trained with.
absl::Status CheckEveryLayerHasThem(JsonMembers& config, const Family& family) {
  const int64_t step = config.Integer("decoder_sparse_step").value_or(1);
  const boost::json::array* without = config.Array("mlp_only_layers");
  const bool sum_to_one = config.Bool("norm_topk_prob").value_or(false);
  QF_RETURN_IF_ERROR(config.status());
  if (step != 1)
    return Unimplemented(
        "{}: decoder_sparse_step is {}; only models of {} with experts in every layer (1) are "
        "supported",
        config.where(), step, family.name);
  if (without != nullptr && !without->empty())
    return Unimplemented(
        "{}: mlp_only_layers names {} layers without experts; only models of {} with experts in "
        "every layer ([]) are supported",
        config.where(), without->size(), family.name);
  if (!sum_to_one)
    return Unimplemented(
        "{}: norm_topk_prob is not true; only models of {} whose experts' weights are made to sum "
        "to 1 are supported",
        config.where(), family.name);
  return absl::OkStatus();
}

// What changes the arithmetic and is the same in all published models.
absl::Status CheckPhimoe(JsonMembers& config, const Family& family) {
  const double noise = config.Number("router_jitter_noise").value_or(kRouterNoise);
  const bool attention = config.Bool("attention_bias").value_or(false),
             head = config.Bool("lm_head_bias").value_or(false);
  QF_RETURN_IF_ERROR(config.status());
  if (std::abs(noise - double{kRouterNoise}) > 1e-6)
    return Unimplemented(
        "{}: router_jitter_noise is {}; only {} is supported, because GGUF has no "
        "key for it",
        config.where(), noise, kRouterNoise);
  if (!attention || !head)
    return Unimplemented(
        "{}: {} is not true; only models of {} with attention_bias and lm_head_bias "
        "are supported",
        config.where(), attention ? "lm_head_bias" : "attention_bias", family.name);
  return absl::OkStatus();
}

absl::Status CheckGptOss(JsonMembers& config, const Family& family) {
  const double limit = config.Number("swiglu_limit").value_or(7);
  const bool biases = config.Bool("attention_bias").value_or(true);
  QF_RETURN_IF_ERROR(config.status());
  if (limit != 7)
    return Unimplemented(
        "{}: swiglu_limit is {}; only 7 is supported, because GGUF has no key for it",
        config.where(), limit);
  if (!biases)
    return Unimplemented("{}: attention_bias is false; only models of {} with biases are supported",
                         config.where(), family.name);
  return absl::OkStatus();
}

}  // namespace

absl::Status ReadExperts(JsonMembers& config, const Family& family, Hyperparameters& hyper) {
  if (!family.experts) return absl::OkStatus();
  const ExpertsOf& names = *family.experts;
  hyper.experts = config.NeedInteger(names.count.hf);
  hyper.experts_used = config.NeedInteger(names.used.hf);
  hyper.expert_width =
      names.width.hf.empty() ? hyper.intermediate : config.NeedInteger(names.width.hf);
  QF_RETURN_IF_ERROR(config.status());
  const auto& members = family.config_members;
  const auto has = [&](ConfigMember member) {
    return std::ranges::find(members, member) != members.end();
  };
  if (has(ConfigMember::kExpertsInAllLayers)) return CheckEveryLayerHasThem(config, family);
  if (has(ConfigMember::kGptOss)) return CheckGptOss(config, family);
  if (has(ConfigMember::kPhimoe)) return CheckPhimoe(config, family);
  return absl::OkStatus();
}

}  // namespace quantfleet::pipeline
