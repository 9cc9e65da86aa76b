// What a program's commands and options are, as plain values: what completion scripts, manual pages
// and hints about misspelled words are made of. Taken from the same CLI11 objects that parse the
// command line and print --help, so that nothing has to be written twice. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace quantfleet::shell {

struct Option {
  std::vector<std::string> names;    // "-h", "--help"; empty for an argument
  std::string value;                 // what --help calls the value; empty: a switch
  std::vector<std::string> choices;  // all values that there are; empty: any
  bool path = false;                 // the value is a file or a folder
  bool required = false;
  bool repeats = false;
  std::string help;
};

struct Command {
  std::string name;
  std::string help;
  std::vector<Option> options;
  std::vector<Option> arguments;  // in their order
  std::vector<Command> commands;
  std::string footer;
};

Option DescribeOption(const CLI::Option& option);

// The program with all its commands. Options of a command whose ancestors' options may stand behind
// it, too (CLI11's fallthrough), are its own alone.
Command Describe(const CLI::App& app);

// What was not understood of a command line that `app` refused: the command or option that is
// unknown, and the one that may have been meant. Empty: every word is known.
std::string UnknownWord(const CLI::App& app);

}  // namespace quantfleet::shell
