#include "pipeline/format/safetensors/write/compressed_config.h"

#include <algorithm>
#include <string_view>

#include "pipeline/tensor/part.h"

namespace quantfleet::pipeline {
namespace {

namespace json = boost::json;

bool IsRow(DType type) { return Info(type).family == SchemeFamily::kRow; }

std::string_view LayoutOf(DType type) { return IsRow(type) ? "int-quantized" : "pack-quantized"; }

json::object WeightsOf(DType type) {
  json::object weights{
      {"num_bits", CodeBits(type)}, {"type", "int"}, {"symmetric", true}, {"dynamic", false}};
  if (IsRow(type)) {
    weights["strategy"] = "channel";
  } else {
    weights["strategy"] = "group";
    weights["group_size"] = Info(type).block_elements;
  }
  return weights;
}

// What a row's codes are multiplied with: rounded to 8 bits too, token by token as they come.
json::value ActivationsOf(DType type) {
  if (!IsRow(type)) return nullptr;
  return json::object{{"num_bits", 8},
                      {"type", "int"},
                      {"symmetric", true},
                      {"strategy", "token"},
                      {"dynamic", true}};
}

json::object GroupOf(DType type, json::array targets) {
  return {{"targets", std::move(targets)},
          {"weights", WeightsOf(type)},
          {"input_activations", ActivationsOf(type)},
          {"output_activations", nullptr},
          {"format", LayoutOf(type)}};
}

// As their files name them, which is what vLLM goes by, and as transformers 5 names them once it
// has loaded the files.
json::array Ignored(const std::vector<std::string>& floats) {
  constexpr std::string_view kPhimoeRouter = ".block_sparse_moe.gate";
  json::array ignored;
  for (const std::string& path : floats) {
    ignored.emplace_back(path);
    if (path.ends_with(kPhimoeRouter))
      ignored.emplace_back(path.substr(0, path.size() - kPhimoeRouter.size()) + ".mlp.router");
  }
  return ignored;
}

}  // namespace

json::object CompressedConfig(const std::vector<CompressedModule>& modules, DType common,
                              const std::vector<std::string>& floats) {
  json::object groups{{"group_0", GroupOf(common, {"Linear"})}};
  // A name goes before a class.
  std::vector<DType> others;
  for (const CompressedModule& module : modules)
    if (module.type != common && std::ranges::find(others, module.type) == others.end())
      others.push_back(module.type);
  for (const DType type : others) {
    json::array paths;
    for (const CompressedModule& module : modules)
      if (module.type == type) paths.emplace_back(module.path);
    groups[fmt::format("group_{}", groups.size())] = GroupOf(type, std::move(paths));
  }
  return {{"quant_method", "compressed-tensors"},
          {"format", LayoutOf(common)},
          {"quantization_status", "compressed"},
          {"config_groups", std::move(groups)},
          {"ignore", Ignored(floats)},
          {"kv_cache_scheme", nullptr}};
}

}  // namespace quantfleet::pipeline
