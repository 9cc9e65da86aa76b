#include "pipeline/format/safetensors/adapter_list.h"

#include <algorithm>
#include <boost/json.hpp>
#include <charconv>
#include <cmath>

#include "common/base/json.h"
#include "common/base/outside_text.h"
#include "pipeline/model/file_nature.h"

namespace quantfleet::pipeline {
namespace {

namespace json = boost::json;

constexpr uint64_t kMaxListBytes = 256 << 10;
constexpr size_t kMaxAdapters = 64;
constexpr std::string_view kFolderOfAll = "adapters/";

// "adapters/NAME": nowhere else, whatever a list says.
bool IsAdapterFolder(std::string_view folder) {
  if (!folder.starts_with(kFolderOfAll)) return false;
  folder.remove_prefix(kFolderOfAll.size());
  return !folder.empty() && folder.front() != '.' && std::ranges::all_of(folder, [](char c) {
    return c > ' ' && c <= '~' && c != '/' && c != '\\';
  });
}

absl::StatusOr<LoraChoice> ReadOne(const json::value& value, const fs::path& folder,
                                   const std::string& where) {
  if (!value.is_object()) return InvalidArgument("{} must be an object", where);
  JsonMembers from(value.get_object(), where);
  LoraChoice choice;
  const std::string below = from.Text("folder").value_or("");
  choice.times = from.Number("scale").value_or(1);
  choice.name = Shown(from.Text("name").value_or(below));
  QF_RETURN_IF_ERROR(from.status());
  if (!IsAdapterFolder(below))
    return InvalidArgument("{}: folder is '{}', but must be a folder in {}, such as {}1", where,
                           Shown(below), kFolderOfAll, kFolderOfAll);
  if (!std::isfinite(choice.times)) return InvalidArgument("{}: scale must be a number", where);
  choice.folder = folder / below;
  return choice;
}

}  // namespace

absl::StatusOr<LoraChoice> ParseLoraChoice(std::string_view text) {
  LoraChoice choice{fs::path(text)};
  if (const size_t colon = text.rfind(':'); colon != std::string_view::npos) {
    const std::string_view number = text.substr(colon + 1);
    double times = 0;
    const char* const end = number.data() + number.size();
    const auto [at, error] = std::from_chars(number.data(), end, times);
    if (error == std::errc() && at == end) choice = {fs::path(text.substr(0, colon)), times};
  }
  if (choice.folder.empty() || !std::isfinite(choice.times))
    return InvalidArgument(
        "'{}' is not an adapter: give its folder, or folder:scale, such as ./adapter:0.5", text);
  fs::path named = fs::absolute(choice.folder).lexically_normal();
  if (!named.has_filename()) named = named.parent_path();
  choice.name = named.filename().string();
  return choice;
}

absl::StatusOr<AdapterSizes> CheckAdapterFiles(FileSystem& files, const fs::path& folder) {
  if (!files.Exists(folder / kAdapterConfig))
    return NotFound("{} is missing: is {} an adapter's folder?", (folder / kAdapterConfig).string(),
                    folder.string());
  if (!files.Exists(folder / kAdapterWeights))
    return NotFound(
        "{} is missing{}", (folder / kAdapterWeights).string(),
        files.Exists(folder / "adapter_model.bin")
            ? ": adapter_model.bin, which is a pickle, is never opened; save the adapter with "
              "safe_serialization=True"
            : ": download the adapter again");
  AdapterSizes sizes;
  QF_ASSIGN_OR_RETURN(sizes.config, CheckNature(files, folder / kAdapterConfig, Expected::kText));
  QF_ASSIGN_OR_RETURN(sizes.weights,
                      CheckNature(files, folder / kAdapterWeights, Expected::kBinary));
  return sizes;
}

std::string AdapterFolder(size_t index) { return fmt::format("{}{}", kFolderOfAll, index + 1); }

std::string AdapterListText(const std::vector<LoraChoice>& choices) {
  json::array list;
  for (const LoraChoice& choice : choices)
    list.push_back({{"folder", AdapterFolder(list.size())},
                    {"name", Shown(choice.name)},
                    {"scale", choice.times}});
  return json::serialize(json::object{{"adapters", std::move(list)}}) + "\n";
}

absl::StatusOr<std::vector<LoraChoice>> ReadAdapterList(FileSystem& files, const fs::path& folder) {
  const std::string name = (folder / kAdapterList).string();
  QF_ASSIGN_OR_RETURN(const std::string text, files.ReadAll(folder / kAdapterList, kMaxListBytes));
  QF_ASSIGN_OR_RETURN(const json::object list, ParseJsonObject(text, name));
  JsonMembers from(list, name);
  const json::array* adapters = from.Array("adapters");
  QF_RETURN_IF_ERROR(from.status());
  if (adapters == nullptr || adapters->empty())
    return InvalidArgument("{} lists no adapters: remove it, or push the model again", name);
  if (adapters->size() > kMaxAdapters)
    return InvalidArgument("{} lists {} adapters; the maximum is {}", name, adapters->size(),
                           kMaxAdapters);
  std::vector<LoraChoice> choices;
  for (const json::value& value : *adapters) {
    const std::string where = fmt::format("{}: adapter {}", name, choices.size() + 1);
    QF_ASSIGN_OR_RETURN(choices.emplace_back(), ReadOne(value, folder, where));
  }
  return choices;
}

}  // namespace quantfleet::pipeline
