#include "pipeline/format/safetensors/hf_experts.h"

#include <algorithm>
#include <boost/json.hpp>

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
  if (std::ranges::find(members, ConfigMember::kExpertsInAllLayers) != members.end())
    return CheckEveryLayerHasThem(config, family);
  return absl::OkStatus();
}

}  // namespace quantfleet::pipeline
