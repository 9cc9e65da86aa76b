#include "pipeline/recipe/recipe_file.h"

#include "common/base/utf8.h"
#include "common/toml/toml_reader.h"

namespace quantfleet::pipeline {
namespace {

constexpr size_t kMaxRecipeBytes = 64 << 10;

class RecipeParser {
 public:
  explicit RecipeParser(std::string_view file) : file_(file) {}

  absl::StatusOr<Recipe> Parse(TomlReader& root) {
    for (const TomlReader::Key& key : root.Keys()) QF_RETURN_IF_ERROR(TakeKey(root, key));
    QF_RETURN_IF_ERROR(Complete(root));
    return std::move(recipe_);
  }

 private:
  absl::Status Wrong(int64_t line, std::string_view key, std::string_view what) const {
    return InvalidArgument("{}: line {}: {}: {}", file_, line, key, what);
  }

  absl::Status TakeKey(TomlReader& root, const TomlReader::Key& key) {
    const std::string& name = key.name;
    RecipeChanges& changes = recipe_.changes;
    if (name == "name") return Text(root, name, name, recipe_.name);
    if (name == "description") {
      std::string unused;  // for the file's readers
      return Text(root, name, name, unused);
    }
    if (name == "base") return Text(root, name, name, recipe_.base);
    if (name == "body") return Type(root, name, name, body_);
    if (name == "head") return Type(root, name, name, head_);
    if (name == "output") return Type(root, name, name, changes.output);
    if (name == "embedding") return Type(root, name, name, changes.embedding);
    if (name == "override") return Overrides(root);
    if (name != "pure") return Wrong(key.line, name, "is not a key of a recipe");
    if (!root.Read(name, changes.pure))
      return Wrong(root.Line(name), name, "must be true or false");
    return absl::OkStatus();
  }

  // `shown`: the key as an error names it.
  absl::Status Text(TomlReader& table, std::string_view key, std::string_view shown,
                    std::string& out) const {
    if (!table.Read(key, out) || out.empty())
      return Wrong(table.Line(key), shown, "must be a non-empty string");
    return absl::OkStatus();
  }

  absl::Status Type(TomlReader& table, std::string_view key, std::string_view shown,
                    std::optional<DType>& out) const {
    std::string name;
    QF_RETURN_IF_ERROR(Text(table, key, shown, name));
    const auto type = DTypeFromName(name);
    if (!type.ok()) return Wrong(table.Line(key), shown, Message(type.status()));
    out = *type;
    return absl::OkStatus();
  }

  absl::Status Overrides(TomlReader& root) {
    const int64_t line = root.Line("override");
    std::vector<TomlReader> tables;
    if (!root.Read("override", tables))
      return Wrong(line, "override", "must be tables, each headed [[override]]");
    if (tables.size() > kMaxRecipeOverrides)
      return Wrong(
          line, "override",
          fmt::format("has {} entries; the maximum is {}", tables.size(), kMaxRecipeOverrides));
    for (TomlReader& table : tables) QF_RETURN_IF_ERROR(Override(table));
    return absl::OkStatus();
  }

  absl::Status Override(TomlReader& table) {
    std::string role, tensor;
    std::optional<DType> type;
    for (const TomlReader::Key& key : table.Keys()) {
      const std::string shown = "override." + key.name;
      if (key.name == "role") {
        QF_RETURN_IF_ERROR(Text(table, key.name, shown, role));
      } else if (key.name == "tensor") {
        QF_RETURN_IF_ERROR(Text(table, key.name, shown, tensor));
      } else if (key.name == "type") {
        QF_RETURN_IF_ERROR(Type(table, key.name, shown, type));
      } else {
        return Wrong(key.line, shown, "is not a key of an override");
      }
    }
    if (role.empty() == tensor.empty())
      return Wrong(table.Line(), "override", "needs either role or tensor (a regular expression)");
    if (!type) return Wrong(table.Line(), "override", "needs a type");
    auto made =
        role.empty() ? TypeOverride::OfPattern(tensor, *type) : TypeOverride::OfRole(role, *type);
    if (!made.ok())
      return Wrong(table.Line(role.empty() ? "tensor" : "role"),
                   role.empty() ? "override.tensor" : "override.role", Message(made.status()));
    recipe_.changes.overrides.push_back(*std::move(made));
    return absl::OkStatus();
  }

  absl::Status Complete(const TomlReader& root) {
    if (recipe_.name.empty()) return InvalidArgument("{}: the name is missing", file_);
    const int64_t name_at = root.Line("name");
    if (!ValidRecipeName(recipe_.name))
      return Wrong(name_at, "name",
                   "must be 1 to 64 characters of a-z, 0-9, '_', '-' and '.', beginning with a "
                   "letter or digit");
    if (FindRecipe(recipe_.name).ok())
      return Wrong(
          name_at, "name",
          fmt::format("'{}' is already the name of a recipe: choose another", recipe_.name));
    if (recipe_.base.empty() == !body_)
      return InvalidArgument("{}: give either base (a recipe's name) or body (a type)", file_);
    if (recipe_.base.empty()) {
      recipe_.body = *body_;
      recipe_.head = head_.value_or(*body_);
      return absl::OkStatus();
    }
    if (head_)
      return Wrong(root.Line("head"), "head", "can only be used with body; with base, use output");
    const auto base = FindRecipe(recipe_.base);
    if (!base.ok()) return Wrong(root.Line("base"), "base", Message(base.status()));
    if (base->as_is)
      return Wrong(
          root.Line("base"), "base",
          fmt::format("'{}' takes the source's own bytes and cannot be changed", recipe_.base));
    recipe_.body = base->body;
    recipe_.head = base->head;
    recipe_.mix = base->mix;
    recipe_.standard_operators = base->standard_operators;
    recipe_.exact = base->exact;
    recipe_.half = base->half;
    recipe_.web = base->web;
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
    return InvalidArgument("{}: the file has {} bytes; the maximum is {}", file, toml.size(),
                           kMaxRecipeBytes);
  if (!IsUtf8(toml)) return InvalidArgument("{}: is not UTF-8 text", file);
  auto root = TomlReader::Parse(toml);
  if (!root.ok()) return Annotate(root.status(), file);
  return RecipeParser(file).Parse(*root);
}

}  // namespace quantfleet::pipeline
