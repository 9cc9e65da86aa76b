#include "pipeline/format/safetensors/lora_adapter.h"

#include <fmt/ranges.h>
#include <re2/re2.h>

#include <boost/json.hpp>
#include <cmath>
#include <map>
#include <optional>

#include "common/base/digest.h"
#include "common/base/json.h"
#include "common/base/outside_text.h"
#include "pipeline/format/safetensors/adapter_list.h"
#include "pipeline/format/safetensors/safetensors_file.h"

namespace quantfleet::pipeline {
namespace {

namespace json = boost::json;

constexpr uint64_t kMaxAdapterBytes = 4u << 20;
constexpr std::string_view kModulePrefix = "base_model.model.";
constexpr std::string_view kMergeFirst =
    "merge it with peft's merge_and_unload() and use the model that this makes";

// What says that more than two matrices make the difference.
absl::Status RefuseOtherKinds(JsonMembers& from) {
  const std::string type = from.Text("peft_type").value_or("LORA");
  if (type != "LORA")
    return Unimplemented("{}: adapters of the kind '{}' are not supported, only LORA is: {}",
                         from.where(), Shown(type), kMergeFirst);
  for (const std::string_view flag : {"use_dora", "lora_bias", "use_qalora", "use_bdlora"})
    if (from.Any(flag) != nullptr && from.Any(flag)->is_bool() && from.Any(flag)->get_bool())
      return Unimplemented("{}: '{}' is not supported: {}", from.where(), flag, kMergeFirst);
  if (const std::string bias = from.Text("bias").value_or("none"); bias != "none")
    return Unimplemented("{}: bias '{}' is not supported, only none is: {}", from.where(),
                         Shown(bias), kMergeFirst);
  for (const std::string_view list :
       {"modules_to_save", "target_parameters", "trainable_token_indices", "layer_replication"}) {
    const json::value* value = from.Any(list);
    if (value == nullptr) continue;
    const bool empty = (value->is_array() && value->get_array().empty()) ||
                       (value->is_object() && value->get_object().empty());
    if (!empty)
      return Unimplemented("{}: '{}' is not supported: {}", from.where(), list, kMergeFirst);
  }
  // Others only say what training began with; these change the base as well.
  const json::value* begin = from.Any("init_lora_weights");
  if (begin != nullptr && begin->is_string()) {
    const std::string_view text(begin->get_string().data(), begin->get_string().size());
    for (const std::string_view changes : {"pissa", "olora", "corda", "loftq", "lora_ga"})
      if (text.starts_with(changes))
        return Unimplemented(
            "{}: init_lora_weights '{}', which changes the base model too, is not "
            "supported: {}",
            from.where(), Shown(text), kMergeFirst);
  }
  return from.status();
}

}  // namespace

absl::Status LoraDelta::ReadLeft(int64_t row, int64_t count, std::vector<float>& out) const {
  return turned ? left.Read(0, rank, row, count, true, out)
                : left.Read(row, count, 0, rank, false, out);
}

absl::Status LoraDelta::ReadRight(std::vector<float>& out) const {
  return turned ? right.Read(0, cols, 0, rank, true, out)
                : right.Read(0, rank, 0, cols, false, out);
}

class LoraOpener {
 public:
  LoraOpener(FileSystem& files, const fs::path& folder, double times)
      : files_(files), folder_(folder), times_(times) {}

  absl::StatusOr<LoraAdapter> Run() {
    QF_RETURN_IF_ERROR(CheckAdapterFiles(files_, folder_).status());
    QF_ASSIGN_OR_RETURN(const std::string text,
                        files_.ReadAll(folder_ / kAdapterConfig, kMaxAdapterBytes));
    QF_ASSIGN_OR_RETURN(const json::object config,
                        ParseJsonObject(text, (folder_ / kAdapterConfig).string()));
    QF_RETURN_IF_ERROR(ReadConfig(config));
    out_.file_name_ = (folder_ / kAdapterWeights).string();
    QF_ASSIGN_OR_RETURN(out_.file_, files_.Open(folder_ / kAdapterWeights, OpenMode::kOutside));
    QF_ASSIGN_OR_RETURN(const uint64_t size, out_.file_->Size());
    QF_ASSIGN_OR_RETURN(const int64_t modified, files_.ModifiedAt(folder_ / kAdapterWeights));
    QF_ASSIGN_OR_RETURN(const SafetensorsFile weights,
                        SafetensorsFile::Read(*out_.file_, out_.file_name_));
    QF_RETURN_IF_ERROR(Sort(weights));
    for (const auto& [module, parts] : modules_) QF_RETURN_IF_ERROR(Add(module, parts));
    if (out_.deltas_.empty())
      return InvalidArgument("{} contains no LoRA weights: download the adapter again",
                             out_.file_name_);
    out_.fingerprint_ =
        fmt::format("lora {} {} {} {}:{} {}", times_, HashText(text).hex(),
                    weights.header_digest().hex(), size, modified, folder_.filename().string());
    return std::move(out_);
  }

 private:
  struct Parts {
    const SafetensorsTensor *a = nullptr, *b = nullptr;
    bool embedding = false;
  };
  struct Pattern {
    std::string key;
    double value;
  };

  absl::Status ReadConfig(const json::object& config) {
    JsonMembers from(config, (folder_ / kAdapterConfig).string());
    QF_RETURN_IF_ERROR(RefuseOtherKinds(from));
    rank_ = static_cast<double>(from.NeedInteger("r"));
    alpha_ = from.Number("lora_alpha").value_or(8);
    by_root_ = from.Bool("use_rslora").value_or(false);
    out_.base_ = Shown(from.Text("base_model_name_or_path").value_or(""));
    QF_RETURN_IF_ERROR(ReadPatterns(from, "rank_pattern", ranks_));
    QF_RETURN_IF_ERROR(ReadPatterns(from, "alpha_pattern", alphas_));
    // fan_in_fan_out is for layers that store their weights transposed, which no model here has:
    // peft ignores it for all others.
    QF_RETURN_IF_ERROR(from.status());
    if (rank_ < 1 || !std::isfinite(alpha_))
      return InvalidArgument("{}: r is {} and lora_alpha {}: r must be above 0", from.where(),
                             rank_, alpha_);
    return absl::OkStatus();
  }

  static absl::Status ReadPatterns(JsonMembers& from, std::string_view key,
                                   std::vector<Pattern>& out) {
    const json::object* object = from.Object(key);
    if (object == nullptr) return from.status();
    JsonMembers patterns(*object, fmt::format("{}: {}", from.where(), key));
    for (const auto& member : *object) {
      const std::string name(member.key().data(), member.key().size());
      out.push_back({name, patterns.NeedNumber(name)});
    }
    return patterns.status();
  }

  // As peft has it: the first whose key is the module's name, or all of its end after a dot.
  absl::StatusOr<double> Of(const std::vector<Pattern>& patterns, const std::string& module,
                            double otherwise) const {
    for (const Pattern& pattern : patterns) {
      if (pattern.key == module) return pattern.value;
      const RE2 expression("(.*\\.)?(" + pattern.key + ")", RE2::Quiet);
      if (!expression.ok())
        return InvalidArgument("{}: the pattern '{}' is not a regular expression: {}",
                               (folder_ / kAdapterConfig).string(), Shown(pattern.key),
                               Shown(expression.error()));
      if (RE2::FullMatch(module, expression)) return pattern.value;
    }
    return otherwise;
  }

  // "base_model.model.M.lora_A.weight", also with an adapter's name before the last word;
  // "base_model.model.M.lora_embedding_A".
  absl::Status Sort(const SafetensorsFile& weights) {
    for (const SafetensorsTensor& tensor : weights.tensors()) {
      std::string_view name = tensor.name;
      if (name.starts_with(kModulePrefix)) name.remove_prefix(kModulePrefix.size());
      const size_t at = name.find(".lora_");
      const std::string_view kind =
          at == std::string_view::npos ? "" : name.substr(at + 1, name.find('.', at + 1) - at - 1);
      const bool embedding = kind.starts_with("lora_embedding_");
      const bool is_a = kind == "lora_A" || kind == "lora_embedding_A",
                 is_b = kind == "lora_B" || kind == "lora_embedding_B";
      if ((!is_a && !is_b) || name.ends_with(".bias"))
        return Unimplemented("{}: tensor '{}' is neither A nor B of a LoRA: {}", weights.name(),
                             tensor.name, kMergeFirst);
      Parts& parts = modules_[std::string(name.substr(0, at))];
      const SafetensorsTensor*& part = is_a ? parts.a : parts.b;
      if (part != nullptr)
        return InvalidArgument("{}: '{}' and '{}' are two adapters of one module: save one alone",
                               weights.name(), part->name, tensor.name);
      tensors_.push_back(std::make_unique<SafetensorsTensor>(tensor));
      part = tensors_.back().get();
      parts.embedding = embedding;
    }
    return absl::OkStatus();
  }

  absl::Status Add(const std::string& module, const Parts& parts) {
    const auto bad = [&](const SafetensorsTensor& tensor, const std::string& what) {
      return InvalidArgument("{}: tensor '{}' ({} [{}]): {}: use another copy of the adapter",
                             out_.file_name_, tensor.name, tensor.dtype_name,
                             fmt::join(tensor.shape, ", "), what);
    };
    if (parts.a == nullptr) return bad(*parts.b, "it is a B without its A");
    if (parts.b == nullptr) return bad(*parts.a, "it is an A without its B");
    for (const SafetensorsTensor* tensor : {parts.a, parts.b}) {
      if (!tensor->dtype) return bad(*tensor, "it must be F32, F16 or BF16");
      if (tensor->shape.size() != 2 || tensor->size == 0)
        return bad(*tensor, "it must be a matrix that is not empty");
    }
    QF_ASSIGN_OR_RETURN(const double rank, Of(ranks_, module, rank_));
    QF_ASSIGN_OR_RETURN(const double alpha, Of(alphas_, module, alpha_));
    LoraDelta delta{.module = module, .name = parts.a->name};
    delta.rank = parts.a->shape[0];
    if (static_cast<double>(delta.rank) != rank)
      return bad(*parts.a,
                 fmt::format("its rank is {}, but adapter_config.json says {}", delta.rank, rank));
    if (parts.b->shape[1] != delta.rank)
      return bad(*parts.b, fmt::format("its rank is {}, but that of '{}' is {}", parts.b->shape[1],
                                       parts.a->name, delta.rank));
    delta.scale = times_ * alpha / (by_root_ ? std::sqrt(rank) : rank);
    const FloatMatrix a = Matrix(*parts.a), b = Matrix(*parts.b);
    delta.turned = parts.embedding;
    delta.left = parts.embedding ? a : b;
    delta.right = parts.embedding ? b : a;
    delta.rows = parts.embedding ? a.width : b.height;
    delta.cols = parts.embedding ? b.height : a.width;
    out_.deltas_.push_back(std::move(delta));
    return absl::OkStatus();
  }

  FloatMatrix Matrix(const SafetensorsTensor& tensor) const {
    return {out_.file_.get(), tensor.offset, *FloatTypeOf(tensor.dtype_name), tensor.shape[0],
            tensor.shape[1]};
  }

  FileSystem& files_;
  const fs::path& folder_;
  const double times_;
  double rank_ = 0, alpha_ = 0;
  bool by_root_ = false;
  std::vector<Pattern> ranks_, alphas_;
  std::vector<std::unique_ptr<SafetensorsTensor>> tensors_;
  std::map<std::string, Parts> modules_;
  LoraAdapter out_;
};

absl::StatusOr<LoraAdapter> LoraAdapter::Open(FileSystem& files, const fs::path& folder,
                                              double times) {
  return LoraOpener(files, folder, times).Run();
}

}  // namespace quantfleet::pipeline
