// Every command has an example, and every example uses what its command has.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <sstream>

#include "CLI/CLI.hpp"
#include "cli/program.h"
#include "common/shell/command_tree.h"

namespace quantfleet::cli {
namespace {

using shell::Command;

// The options that a command's examples may use.
void Check(const Command& command, const std::string& path, std::set<std::string> options) {
  for (const shell::Option& option : command.options)
    options.insert(option.names.begin(), option.names.end());
  for (const Command& below : command.commands) Check(below, path + " " + below.name, options);
  if (!command.commands.empty()) return;
  EXPECT_TRUE(command.footer.starts_with("Examples:\n")) << path << " has no example";
  std::istringstream lines(command.footer.substr(0, command.footer.find("\n\n")));
  std::string line, word;
  std::getline(lines, line);
  while (std::getline(lines, line)) {
    EXPECT_TRUE(line.starts_with("  " + path)) << line;
    std::istringstream words(line.substr(0, line.find('|')));
    while (words >> word) {
      EXPECT_TRUE(!word.starts_with("--") || options.contains(word)) << path << ": " << word;
    }
  }
}

TEST(Examples, EveryCommandHasOneThatItUnderstands) {
  CLI::App app("", "quantfleet");
  AddCommands(app);
  Check(shell::Describe(app), "quantfleet", {});
}

}  // namespace
}  // namespace quantfleet::cli
