#include "pipeline/format/safetensors/hf_pooling.h"

#include <algorithm>
#include <boost/json.hpp>
#include <optional>
#include <vector>

#include "common/base/json.h"
#include "common/base/outside_text.h"

namespace quantfleet::pipeline {
namespace {

namespace json = boost::json;

// As the two versions of the configuration call them: a switch each, or the value of pooling_mode.
constexpr struct {
  std::string_view flag, mode;
  std::optional<Pooling> is;  // nullopt: not supported
} kModes[] = {
    {"pooling_mode_cls_token", "cls", Pooling::kCls},
    {"pooling_mode_mean_tokens", "mean", Pooling::kMean},
    {"pooling_mode_lasttoken", "lasttoken", Pooling::kLast},
    {"pooling_mode_max_tokens", "max", std::nullopt},
    {"pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens", std::nullopt},
    {"pooling_mode_weightedmean_tokens", "weightedmean", std::nullopt},
};

// "Pooling" of "sentence_transformers.models.Pooling".
std::string_view LastPart(std::string_view type) { return type.substr(type.rfind('.') + 1); }

}  // namespace

absl::StatusOr<std::string> PoolingFolder(std::string_view modules, std::string_view file) {
  // A list, where all other files have an object.
  QF_ASSIGN_OR_RETURN(const json::object object,
                      ParseJsonObject(fmt::format("{{\"modules\":{}}}", modules), file));
  JsonMembers all(object, std::string(file));
  const json::array* list = all.Array("modules");
  QF_RETURN_IF_ERROR(all.status());
  std::optional<std::string> folder;
  for (const json::value& entry : list == nullptr ? json::array() : *list) {
    if (!entry.is_object()) return InvalidArgument("{}: a stage is not an object", file);
    JsonMembers stage(entry.get_object(), std::string(file));
    const std::string type = stage.Text("type").value_or("");
    std::string path = stage.Text("path").value_or("");
    QF_RETURN_IF_ERROR(stage.status());
    const std::string_view kind = LastPart(type);
    if (kind == "Transformer" || kind == "Normalize") continue;
    if (kind != "Pooling")
      return Unimplemented(
          "{}: the stage '{}' is not supported; supported are Transformer, Pooling and Normalize",
          file, Shown(type, 80));
    if (folder) return InvalidArgument("{} has more than one pooling stage", file);
    folder = std::move(path);
  }
  if (!folder) return InvalidArgument("{} has no pooling stage", file);
  return *std::move(folder);
}

absl::StatusOr<Pooling> ParseHfPooling(std::string_view config, int64_t hidden,
                                       std::string_view file) {
  QF_ASSIGN_OR_RETURN(const json::object object, ParseJsonObject(config, file));
  JsonMembers from(object, std::string(file));
  for (const std::string_view key : {"word_embedding_dimension", "embedding_dimension"}) {
    const auto width = from.Integer(key);
    if (width && *width != hidden)
      return InvalidArgument("{}: {} is {}, but config.json's hidden_size is {}", file, key, *width,
                             hidden);
  }
  std::vector<std::string_view> on;
  const json::value* mode = from.Any("pooling_mode");
  const std::optional<std::string> text =
      mode == nullptr || mode->is_array() ? std::nullopt : from.Text("pooling_mode");
  for (const auto& known : kModes)
    if (from.Bool(known.flag).value_or(false) || text == known.mode) on.push_back(known.mode);
  QF_RETURN_IF_ERROR(from.status());
  if (mode != nullptr && on.empty())
    return Unimplemented(
        "{}: the pooling mode '{}' is not supported; supported are cls, mean and "
        "lasttoken",
        file, Shown(json::serialize(*mode), 80));
  if (on.empty()) return InvalidArgument("{} turns no pooling mode on", file);
  if (on.size() > 1)
    return InvalidArgument("{} turns on both '{}' and '{}'; an embedding model needs one of them",
                           file, on[0], on[1]);
  const auto* found = std::ranges::find(kModes, on[0], [](const auto& m) { return m.mode; });
  if (!found->is)
    return Unimplemented(
        "{}: the pooling mode '{}' is not supported; supported are cls, mean and lasttoken", file,
        on[0]);
  return *found->is;
}

}  // namespace quantfleet::pipeline
