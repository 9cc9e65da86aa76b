#include "common/shell/command_tree.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "CLI/CLI.hpp"
#include "common/base/nearest.h"

namespace quantfleet::shell {
namespace {

// "{a,b}" in a type's text: CLI11 writes it for values of a closed set.
std::vector<std::string> Choices(std::string_view type) {
  const size_t open = type.find('{'), close = type.find('}');
  if (open == std::string_view::npos || close == std::string_view::npos || close < open) return {};
  std::vector<std::string> choices;
  for (std::string_view left = type.substr(open + 1, close - open - 1); !left.empty();) {
    const size_t comma = std::min(left.find(','), left.size());
    choices.emplace_back(left.substr(0, comma));
    left.remove_prefix(std::min(comma + 1, left.size()));
  }
  return choices;
}

// CLI11 names values after C++'s types.
std::string ValueName(const std::string& type) {
  if (type == "UINT" || type == "INT") return "N";
  if (type == "FLOAT") return "X";
  return type.empty() ? "VALUE" : type;
}

// Names of values that stand for files, by this project's custom.
bool NamesPath(std::string_view type) {
  constexpr std::string_view kPaths[] = {"FILE", "DIR", "FOLDER", "PATH", "SRC", "LIST", "PEM"};
  const std::string_view name = type.substr(0, type.find_first_of(":[."));
  return std::ranges::find(kPaths, name) != std::end(kPaths) ||
         type.find(":FILE") != std::string_view::npos ||
         type.find(":DIR") != std::string_view::npos;
}

}  // namespace

Option DescribeOption(const CLI::Option& option) {
  Option told;
  for (const std::string& name : option.get_snames()) told.names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) told.names.push_back("--" + name);
  const bool argument = !option.nonpositional();
  const std::string type = option.get_type_name();
  told.choices = Choices(type);
  if (argument)
    told.value = option.get_name(true);
  else if (!told.choices.empty() && told.choices.size() <= 3)
    told.value = fmt::format("{}", fmt::join(told.choices, "|"));
  else if (option.get_items_expected_max() > 0)
    told.value = ValueName(type.substr(0, type.find_first_of(":{")));
  told.path = NamesPath(type) || (argument && NamesPath(told.value));
  if (told.path && told.value == "TEXT") told.value = "FILE";
  told.required = option.get_required();
  told.repeats = option.get_items_expected_max() > 1;
  told.help = option.get_description();
  if (!option.get_default_str().empty())
    told.help += fmt::format(" [{}]", option.get_default_str());
  if (!option.get_envname().empty()) told.help += fmt::format(" [${}]", option.get_envname());
  return told;
}

namespace {

bool Shown(const CLI::App* app) { return !app->get_group().empty(); }

// The command that the words led to, and what was behind it that it did not understand.
const CLI::App& Reached(const CLI::App& app) {
  const std::vector<CLI::App*> parsed = app.get_subcommands();
  return parsed.empty() ? app : Reached(*parsed.back());
}

// "quantfleet job submit"
std::string PathOf(const CLI::App& app) {
  const CLI::App* above = app.get_parent();
  return above == nullptr ? app.get_name() : PathOf(*above) + " " + app.get_name();
}

}  // namespace

Command Describe(const CLI::App& app) {
  Command command;
  command.name = app.get_name();
  command.help = app.get_description();
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_group().empty()) continue;  // an earlier spelling
    (option->nonpositional() ? command.options : command.arguments)
        .push_back(DescribeOption(*option));
  }
  for (const CLI::App* below : app.get_subcommands(Shown)) {
    Command told = Describe(*below);
    if (told.name.empty()) {  // a group of options, which has a --help of its own
      std::ranges::copy_if(told.options, std::back_inserter(command.options),
                           [](const Option& one) { return one.names.back() != "--help"; });
      std::ranges::move(told.arguments, std::back_inserter(command.arguments));
    } else {
      command.commands.push_back(std::move(told));
    }
  }
  command.footer = app.get_footer();
  return command;
}

std::string UnknownWord(const CLI::App& app) {
  const CLI::App& reached = Reached(app);
  const std::vector<std::string> left = app.remaining(/*recurse=*/true);
  if (left.empty()) return "";
  const bool option = left.front().starts_with('-');
  const Command command = Describe(reached);
  if (!option && command.commands.empty()) return "";
  const std::string word = left.front().substr(0, left.front().find('='));
  std::vector<std::string> known;
  if (option) {
    for (const CLI::App* at = &reached; at != nullptr; at = at->get_parent())
      for (const Option& one : Describe(*at).options)
        known.insert(known.end(), one.names.begin(), one.names.end());
  } else {
    for (const Command& below : command.commands) known.push_back(below.name);
  }
  const std::vector<std::string_view> views(known.begin(), known.end());
  const std::string_view nearest = LikelyName(word, views);
  return fmt::format("'{}' is not {} of `{}`{}", word, option ? "an option" : "a command",
                     PathOf(reached),
                     nearest.empty() ? "" : fmt::format("; did you mean '{}'?", nearest));
}

}  // namespace quantfleet::shell
