#include "pipeline/recipe/mix_recipe.h"

#include <algorithm>
#include <map>

#include "pipeline/recipe/recipe_file.h"

namespace quantfleet::pipeline {
namespace {

std::string Escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '_' || c == '/';
    if (!plain) out += '\\';
    out += c;
  }
  return out;
}

// A name around the first of its parts between dots that is a number: "blk.", "3",
// ".attn_q.weight".
struct Around {
  std::string_view before, number, behind;
};

Around Split(std::string_view name) {
  for (size_t at = 0; at < name.size();) {
    const size_t end = std::min(name.find('.', at), name.size());
    const std::string_view part = name.substr(at, end - at);
    if (!part.empty() && part.find_first_not_of("0123456789") == std::string_view::npos)
      return {name.substr(0, at), part, name.substr(end)};
    at = end + 1;
  }
  return {name, {}, {}};
}

}  // namespace

std::vector<std::pair<std::string, DType>> PatternsOf(const TensorTypes& types) {
  // In the order of the first tensor of each.
  std::vector<std::pair<std::string, DType>> patterns;
  std::map<std::tuple<std::string_view, std::string_view, DType>, size_t> open;
  std::vector<std::string> ends;  // of patterns that take more numbers
  for (const auto& [name, type] : types) {
    const Around around = Split(name);
    if (around.number.empty()) {
      patterns.emplace_back(fmt::format("^{}$", Escaped(name)), type);
      ends.emplace_back();
      continue;
    }
    const auto [it, is_new] =
        open.emplace(std::tuple(around.before, around.behind, type), patterns.size());
    if (!is_new) {
      std::string& pattern = patterns[it->second].first;
      if (pattern.size() + ends[it->second].size() + 1 + around.number.size() <=
          TypeOverride::kMaxPatternBytes) {
        pattern += fmt::format("|{}", around.number);
        continue;
      }
      it->second = patterns.size();
    }
    patterns.emplace_back(fmt::format("^{}({}", Escaped(around.before), around.number), type);
    ends.push_back(fmt::format("){}$", Escaped(around.behind)));
  }
  for (size_t i = 0; i < patterns.size(); ++i) patterns[i].first += ends[i];
  return patterns;
}

absl::StatusOr<Recipe> RecipeOf(std::string_view name, const TensorTypes& types) {
  if (types.empty()) return Internal("a mix of no tensors");
  std::map<DType, int64_t> counts;
  for (const auto& [tensor, type] : types) ++counts[type];
  const DType body =
      std::ranges::max_element(counts, {}, [](const auto& c) { return c.second; })->first;
  Recipe recipe{.name = std::string(name), .body = body, .head = body};
  recipe.changes.pure = true;
  TensorTypes others;
  for (const auto& one : types)
    if (one.second != body) others.push_back(one);
  const auto patterns = PatternsOf(others);
  if (patterns.size() > kMaxRecipeOverrides)
    return InvalidArgument("the mix takes {} overrides; a recipe has at most {}", patterns.size(),
                           kMaxRecipeOverrides);
  for (const auto& [pattern, type] : patterns) {
    QF_ASSIGN_OR_RETURN(TypeOverride made, TypeOverride::OfPattern(pattern, type));
    recipe.changes.overrides.push_back(std::move(made));
  }
  return recipe;
}

std::string RecipeText(const Recipe& recipe, std::string_view comment) {
  std::string out;
  while (!comment.empty()) {
    const size_t end = std::min(comment.find('\n'), comment.size());
    out += fmt::format("# {}\n", comment.substr(0, end));
    comment.remove_prefix(std::min(end + 1, comment.size()));
  }
  out += fmt::format("name = \"{}\"\n", recipe.name);
  if (recipe.base.empty())
    out += fmt::format("body = \"{}\"\n", Info(recipe.body).name);
  else
    out += fmt::format("base = \"{}\"\n", recipe.base);
  if (recipe.changes.pure) out += "pure = true\n";
  for (const TypeOverride& o : recipe.changes.overrides) {
    const std::string text = o.text();
    const size_t equals = text.rfind('=');
    out += fmt::format("\n[[override]]\ntensor = '{}'\ntype = \"{}\"\n", text.substr(0, equals),
                       Info(o.type()).name);
  }
  return out;
}

}  // namespace quantfleet::pipeline
