#include "common/toml/toml_reader.h"

#include <toml++/toml.h>

#include <set>

#include "common/toml/depth.h"

namespace quantfleet {
namespace {

constexpr size_t kMaxBytes = 64 << 10;

}  // namespace

struct TomlReader::State {
  toml::table root;
  std::set<std::string, std::less<>> asked;
  absl::Status error;

  void Fail(absl::Status status) {
    if (error.ok()) error = std::move(status);
  }
  void WrongType(std::string_view key, const toml::node& node, std::string_view wanted) {
    Fail(InvalidArgument("line {}: {} must be {}", node.source().begin.line, key, wanted));
  }
  const toml::node* Find(std::string_view key) {
    asked.emplace(key);
    return root.at_path(key).node();
  }
  // The first key of `table` that nobody asked for; a table is known when a key below it is.
  absl::Status Unknown(const toml::table& table, const std::string& prefix) const {
    for (const auto& [key, node] : table) {
      const std::string path = prefix + std::string(key.str());
      if (key.str().find('.') != std::string_view::npos)  // a quoted key that would pass for a path
        return InvalidArgument("line {}: unknown key \"{}\"", key.source().begin.line, path);
      if (asked.contains(path)) continue;
      const auto below = asked.lower_bound(path + ".");
      const bool parent = below != asked.end() && below->starts_with(path + ".");
      if (!parent) return InvalidArgument("line {}: unknown key {}", key.source().begin.line, path);
      if (!node.is_table())
        return InvalidArgument("line {}: {} must be a table", key.source().begin.line, path);
      QF_RETURN_IF_ERROR(Unknown(*node.as_table(), path + "."));
    }
    return absl::OkStatus();
  }
};

TomlReader::TomlReader(std::unique_ptr<State> state) : state_(std::move(state)) {}
TomlReader::TomlReader(TomlReader&&) noexcept = default;
TomlReader::~TomlReader() = default;

absl::StatusOr<TomlReader> TomlReader::Parse(std::string_view text) {
  if (text.size() > kMaxBytes)
    return InvalidArgument("{} bytes of TOML; the maximum is {}", text.size(), kMaxBytes);
  QF_RETURN_IF_ERROR(CheckTomlDepth(text));
  try {
    auto state = std::make_unique<State>();
    state->root = toml::parse(text);
    return TomlReader(std::move(state));
  } catch (const toml::parse_error& e) {
    return InvalidArgument("line {}: {}", e.source().begin.line, e.description());
  } catch (const std::exception& e) {
    return InvalidArgument("not valid TOML: {}", e.what());
  }
}

bool TomlReader::Read(std::string_view key, std::string& out) {
  const toml::node* node = state_->Find(key);
  if (!node) return false;
  if (const auto* value = node->as_string()) {
    out = value->get();
    return true;
  }
  state_->WrongType(key, *node, "a string");
  return false;
}

bool TomlReader::Read(std::string_view key, int64_t& out, int64_t least, int64_t most) {
  const toml::node* node = state_->Find(key);
  if (!node) return false;
  const auto* value = node->as_integer();
  if (!value || value->get() < least || value->get() > most) {
    state_->WrongType(key, *node, fmt::format("a whole number from {} to {}", least, most));
    return false;
  }
  out = value->get();
  return true;
}

bool TomlReader::Read(std::string_view key, double& out, double least, double most) {
  const toml::node* node = state_->Find(key);
  if (!node) return false;
  const auto value = node->is_number() ? node->value<double>() : std::nullopt;
  if (!value || !(*value >= least && *value <= most)) {
    state_->WrongType(key, *node, fmt::format("a number from {} to {}", least, most));
    return false;
  }
  out = *value;
  return true;
}

bool TomlReader::Read(std::string_view key, bool& out) {
  const toml::node* node = state_->Find(key);
  if (!node) return false;
  if (const auto* value = node->as_boolean()) {
    out = value->get();
    return true;
  }
  state_->WrongType(key, *node, "true or false");
  return false;
}

bool TomlReader::Read(std::string_view key, std::vector<std::string>& out) {
  const toml::node* node = state_->Find(key);
  if (!node) return false;
  std::vector<std::string> values;
  const auto* array = node->as_array();
  if (array) {
    for (const toml::node& element : *array) {
      const auto* value = element.as_string();
      if (!value) {
        state_->WrongType(key, element, "a list of strings");
        return false;
      }
      values.push_back(value->get());
    }
  }
  if (!array || values.empty()) {
    state_->WrongType(key, *node, "a list of one or more strings");
    return false;
  }
  out = std::move(values);
  return true;
}

bool TomlReader::Read(std::string_view key, std::map<std::string, std::string>& out) {
  const toml::node* node = state_->Find(key);
  if (!node) return false;
  const auto* table = node->as_table();
  if (!table) {
    state_->WrongType(key, *node, "a table of strings");
    return false;
  }
  std::map<std::string, std::string> values;
  for (const auto& [name, value] : *table) {
    if (!value.is_string()) {
      state_->WrongType(fmt::format("{}.{}", key, name.str()), value, "a string");
      return false;
    }
    values.emplace(name.str(), value.as_string()->get());
  }
  out = std::move(values);
  return true;
}

bool TomlReader::Read(std::string_view key, std::vector<TomlReader>& out) {
  if (!state_->Find(key)) return false;
  toml::node* node = state_->root.at_path(key).node();
  toml::array* tables = node->as_array();
  if (!tables || tables->empty() || !tables->is_homogeneous(toml::node_type::table)) {
    state_->WrongType(key, *node, fmt::format("one or more tables, each headed [[{}]]", key));
    return false;
  }
  out.clear();
  for (toml::node& element : *tables) {
    auto state = std::make_unique<State>();
    state->root = std::move(*element.as_table());  // moved: a copy forgets its line
    out.push_back(TomlReader(std::move(state)));
  }
  return true;
}

void TomlReader::Require(std::string_view key, std::string& out) {
  if (!Read(key, out) && state_->error.ok()) state_->Fail(InvalidArgument("{} is missing", key));
  if (out.empty() && state_->error.ok()) state_->Fail(InvalidArgument("{} must not be empty", key));
}

std::vector<TomlReader::Key> TomlReader::Keys() const {
  std::vector<Key> keys;
  for (const auto& [key, node] : state_->root)
    keys.push_back({std::string(key.str()), key.source().begin.line});
  return keys;
}

int64_t TomlReader::Line(std::string_view key) const {
  const toml::node* node = state_->root.at_path(key).node();
  return node ? node->source().begin.line : 0;
}

int64_t TomlReader::Line() const { return state_->root.source().begin.line; }

absl::Status TomlReader::Finish() const {
  QF_RETURN_IF_ERROR(state_->error);
  return state_->Unknown(state_->root, "");
}

}  // namespace quantfleet
