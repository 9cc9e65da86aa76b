#include "pipeline/recipe/recipe_file.h"

#include <toml++/toml.h>

#include "common/base/utf8.h"

namespace quantfleet::pipeline {
namespace {

constexpr size_t kMaxRecipeBytes = 64 << 10, kMaxOverrides = 256;

class RecipeParser {
 public:
  explicit RecipeParser(std::string_view file) : file_(file) {}

  absl::StatusOr<Recipe> Parse(const toml::table& root) {
    for (const auto& [key, node] : root) QF_RETURN_IF_ERROR(TakeKey(key, node));
    QF_RETURN_IF_ERROR(Complete(root));
    return std::move(recipe_);
  }

 private:
  absl::Status Wrong(const toml::source_region& where, std::string_view key,
                     std::string_view what) const {
    return InvalidArgument("{}: line {}: {}: {}", file_, where.begin.line, key, what);
  }

  absl::Status TakeKey(const toml::key& key, const toml::node& node) {
    const std::string_view name = key.str();
    RecipeChanges& changes = recipe_.changes;
    if (name == "name") return Text(name, node, recipe_.name);
    if (name == "description") {
      std::string unused;  // for the file's readers
      return Text(name, node, unused);
    }
    if (name == "base") return Text(name, node, recipe_.base);
    if (name == "body") return Type(name, node, body_);
    if (name == "head") return Type(name, node, head_);
    if (name == "output") return Type(name, node, changes.output);
    if (name == "embedding") return Type(name, node, changes.embedding);
    if (name == "override") return Overrides(node);
    if (name != "pure") return Wrong(key.source(), name, "no recipe has such a key");
    if (!node.is_boolean()) return Wrong(node.source(), name, "has to be true or false");
    changes.pure = node.as_boolean()->get();
    return absl::OkStatus();
  }

  absl::Status Text(std::string_view key, const toml::node& node, std::string& out) const {
    if (!node.is_string() || node.as_string()->get().empty())
      return Wrong(node.source(), key, "has to be a string that is not empty");
    out = node.as_string()->get();
    return absl::OkStatus();
  }

  absl::Status Type(std::string_view key, const toml::node& node, std::optional<DType>& out) const {
    std::string name;
    QF_RETURN_IF_ERROR(Text(key, node, name));
    const auto type = DTypeFromName(name);
    if (!type.ok()) return Wrong(node.source(), key, Message(type.status()));
    out = *type;
    return absl::OkStatus();
  }

  absl::Status Overrides(const toml::node& node) {
    if (!node.is_array_of_tables())
      return Wrong(node.source(), "override", "has to be tables, each headed [[override]]");
    const toml::array& tables = *node.as_array();
    if (tables.size() > kMaxOverrides)
      return Wrong(node.source(), "override",
                   fmt::format("{} of them, {} are allowed", tables.size(), kMaxOverrides));
    for (const toml::node& table : tables) QF_RETURN_IF_ERROR(Override(*table.as_table()));
    return absl::OkStatus();
  }

  absl::Status Override(const toml::table& table) {
    std::string role, tensor;
    std::optional<DType> type;
    for (const auto& [key, node] : table) {
      if (key == "role") {
        QF_RETURN_IF_ERROR(Text("override.role", node, role));
      } else if (key == "tensor") {
        QF_RETURN_IF_ERROR(Text("override.tensor", node, tensor));
      } else if (key == "type") {
        QF_RETURN_IF_ERROR(Type("override.type", node, type));
      } else {
        return Wrong(key.source(), fmt::format("override.{}", key.str()),
                     "no override has such a key");
      }
    }
    if (role.empty() == tensor.empty())
      return Wrong(table.source(), "override",
                   "needs either role or tensor (a regular expression)");
    if (!type) return Wrong(table.source(), "override", "needs a type");
    auto made =
        role.empty() ? TypeOverride::OfPattern(tensor, *type) : TypeOverride::OfRole(role, *type);
    if (!made.ok())
      return Wrong(table.at(role.empty() ? "tensor" : "role").source(),
                   role.empty() ? "override.tensor" : "override.role", Message(made.status()));
    recipe_.changes.overrides.push_back(*std::move(made));
    return absl::OkStatus();
  }

  absl::Status Complete(const toml::table& root) {
    if (recipe_.name.empty()) return InvalidArgument("{}: name: is missing", file_);
    const toml::source_region& name_at = root.at("name").source();
    if (!ValidRecipeName(recipe_.name))
      return Wrong(
          name_at, "name",
          "has to be 1 to 64 of a-z, 0-9, '_', '-' and '.', beginning with a letter or digit");
    if (FindRecipe(recipe_.name).ok())
      return Wrong(name_at, "name",
                   fmt::format("'{}' is a recipe's name already: choose another", recipe_.name));
    if (recipe_.base.empty() == !body_)
      return InvalidArgument("{}: give either base (a recipe's name) or body (a type)", file_);
    if (recipe_.base.empty()) {
      recipe_.body = *body_;
      recipe_.head = head_.value_or(*body_);
      return absl::OkStatus();
    }
    if (head_)
      return Wrong(root.at("head").source(), "head", "goes with body; beside base say output");
    const auto base = FindRecipe(recipe_.base);
    if (!base.ok()) return Wrong(root.at("base").source(), "base", Message(base.status()));
    recipe_.body = base->body;
    recipe_.head = base->head;
    recipe_.mix = base->mix;
    recipe_.standard_operators = base->standard_operators;
    recipe_.exact = base->exact;
    recipe_.changes.pure = recipe_.changes.pure || base->changes.pure;
    return absl::OkStatus();
  }

  const std::string_view file_;
  Recipe recipe_{};
  std::optional<DType> body_, head_;
};

}  // namespace

absl::StatusOr<Recipe> ParseRecipe(std::string_view toml, std::string_view file) {
  if (toml.size() > kMaxRecipeBytes)
    return InvalidArgument("{}: {} bytes, a recipe has at most {}", file, toml.size(),
                           kMaxRecipeBytes);
  if (!IsUtf8(toml)) return InvalidArgument("{}: is not UTF-8 text", file);
  try {
    return RecipeParser(file).Parse(toml::parse(toml));
  } catch (const toml::parse_error& e) {
    return InvalidArgument("{}: line {}: {}", file, e.source().begin.line, e.description());
  } catch (const std::exception& e) {
    return InvalidArgument("{}: not TOML: {}", file, e.what());
  }
}

}  // namespace quantfleet::pipeline
