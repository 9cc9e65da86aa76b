#include "cli/quantize_targets.h"

#include <algorithm>

#include "pipeline/recipe/recipe_file.h"

namespace quantfleet::cli {
namespace {

using namespace quantfleet::pipeline;

constexpr uint64_t kMaxRecipeFileBytes = uint64_t{1} << 20;
constexpr size_t kMaxOverrides = 256;
constexpr std::string_view kFileEnding = ".toml";

absl::Status ReadType(std::string_view option, std::string_view word, std::optional<DType>& out) {
  if (word.empty()) return absl::OkStatus();
  const auto type = DTypeFromName(word);
  if (!type.ok()) return Annotate(type.status(), option);
  out = *type;
  return absl::OkStatus();
}

absl::StatusOr<RecipeChanges> ReadChanges(const TargetWords& words) {
  if (words.tensor_types.size() > kMaxOverrides)
    return InvalidArgument("--tensor-type: given {} times, the maximum is {}",
                           words.tensor_types.size(), kMaxOverrides);
  RecipeChanges changes{.pure = words.pure};
  for (const std::string& text : words.tensor_types) {
    auto parsed = TypeOverride::Parse(text);
    if (!parsed.ok()) return Annotate(parsed.status(), "--tensor-type");
    changes.overrides.push_back(*std::move(parsed));
  }
  QF_RETURN_IF_ERROR(ReadType("--output-type", words.output_type, changes.output));
  QF_RETURN_IF_ERROR(ReadType("--embedding-type", words.embedding_type, changes.embedding));
  return changes;
}

absl::StatusOr<TargetSpec> ReadTarget(FileSystem& files, std::string_view text) {
  if (!IsRecipeFile(text)) return ParseTargetSpec(text);
  const size_t colon = text.find(':');
  const std::string path(text.substr(colon + 1));
  QF_ASSIGN_OR_RETURN(const std::string toml, files.ReadAll(path, kMaxRecipeFileBytes));
  QF_ASSIGN_OR_RETURN(Recipe recipe, ParseRecipe(toml, path));
  TargetSpec spec{.format = std::string(text.substr(0, colon)), .recipe = recipe.name};
  spec.own = std::move(recipe);
  return spec;
}

absl::Status Apply(const RecipeChanges& changes, TargetSpec& spec) {
  if (changes.empty()) return absl::OkStatus();
  if (!spec.own) {
    QF_ASSIGN_OR_RETURN(spec.own, FindRecipe(spec.recipe));
  }
  RecipeChanges& own = spec.own->changes;
  own.overrides.insert(own.overrides.begin(), changes.overrides.begin(), changes.overrides.end());
  if (changes.output) own.output = changes.output;
  if (changes.embedding) own.embedding = changes.embedding;
  own.pure = own.pure || changes.pure;
  return absl::OkStatus();
}

}  // namespace

bool IsRecipeFile(std::string_view target) {
  const size_t colon = target.find(':');
  return target.ends_with(kFileEnding) && colon != std::string_view::npos &&
         IsTargetFormat(target.substr(0, colon));
}

absl::StatusOr<std::vector<TargetSpec>> ReadTargets(FileSystem& files, const TargetWords& words) {
  QF_ASSIGN_OR_RETURN(const RecipeChanges changes, ReadChanges(words));
  std::vector<TargetSpec> specs;
  for (const std::string& text : words.targets) {
    QF_ASSIGN_OR_RETURN(TargetSpec spec, ReadTarget(files, text));
    QF_RETURN_IF_ERROR(Apply(changes, spec));
    specs.push_back(std::move(spec));
  }
  return specs;
}

}  // namespace quantfleet::cli
