#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/shell/command_tree.h"
#include "common/shell/completion.h"
#include "common/shell/help_formatter.h"
#include "common/shell/manual.h"
#include "common/shell/shell_commands.h"

namespace quantfleet::shell {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

// fleetctl [--server HOST] device list|move NAME... [--to PLACE] [--how fast|safe] [--log FILE]
class Program : public testing::Test {
 protected:
  Program() {
    app.formatter(HelpFormatter());
    app.require_subcommand(1);
    app.add_option("--server", server, "Where the daemon's at")->envname("SERVER");
    CLI::App* device = app.add_subcommand("device", "Devices: list, move");
    device->require_subcommand(1);
    device->fallthrough();
    device->add_subcommand("list", "List [all] devices")->fallthrough();
    move = device->add_subcommand("move", "Move devices");
    move->fallthrough();
    move->add_option("NAME", names, "Their names")->required();
    move->add_option("--to", place, "Where to")->required()->type_name("PLACE");
    move->add_option("--how", how, "In what way")
        ->check(CLI::IsMember({"fast", "safe"}))
        ->capture_default_str();
    move->add_option("--log", log, "Log")->type_name("FILE");
    move->add_option("--times", times, "How often")->check(CLI::Range(1, 100));
    CLI::Option_group* more = move->add_option_group("More");
    more->add_flag("--far", old, "Far away");
    move->add_flag("--old", old, "")->group("");
    move->footer(
        "Examples:\n  fleetctl device move a --to x\n\nMoving takes time.\n.Not a request");
  }

  // What the program says about a command line that it refuses.
  std::string Refused(const std::string& line) {
    try {
      app.parse(line);
    } catch (const CLI::ParseError& error) {
      return UsageMessage(app, error);
    }
    return "accepted";
  }

  CLI::App app{"Keeps devices", "fleetctl"};
  CLI::App* move = nullptr;
  std::string server, place, how = "safe", log;
  std::vector<std::string> names;
  int times = 1;
  bool old = false;
};

TEST_F(Program, IsDescribedAsItParses) {
  const Command described = Describe(app);
  ASSERT_EQ(described.commands.size(), 1u);
  const Command& moving = described.commands[0].commands[1];
  EXPECT_EQ(moving.name, "move");
  ASSERT_EQ(moving.arguments.size(), 1u);
  EXPECT_EQ(moving.arguments[0].value, "NAME");
  EXPECT_TRUE(moving.arguments[0].required);
  EXPECT_TRUE(moving.arguments[0].repeats);
  ASSERT_EQ(moving.options.size(), 6u) << "--help too, and not the earlier spelling";
  EXPECT_EQ(moving.options[1].value, "PLACE");
  EXPECT_TRUE(moving.options[1].required);
  EXPECT_THAT(moving.options[2].choices, ElementsAre("fast", "safe"));
  EXPECT_EQ(moving.options[2].help, "In what way [safe]");
  EXPECT_TRUE(moving.options[3].path);
  EXPECT_EQ(moving.options[4].value, "N");
  EXPECT_TRUE(moving.options[4].choices.empty());
  EXPECT_EQ(moving.options[5].help, "Far away");
  EXPECT_TRUE(moving.commands.empty()) << "a group of options is no command";
  EXPECT_EQ(described.options[1].help, "Where the daemon's at [$SERVER]");
}

TEST_F(Program, NamesTheUnknownWordAndTheLikelyOne) {
  EXPECT_EQ(Refused("devise list"),
            "'devise' is not a command of `fleetctl`; did you mean 'device'?");
  EXPECT_EQ(Refused("device lst"),
            "'lst' is not a command of `fleetctl device`; did you mean 'list'?");
  EXPECT_EQ(Refused("device move a --too x"),
            "'--too' is not an option of `fleetctl device move`; did you mean '--to'?");
  EXPECT_EQ(Refused("device list --sever=x"),
            "'--sever' is not an option of `fleetctl device list`; did you mean '--server'?");
  EXPECT_EQ(Refused("zzz"), "'zzz' is not a command of `fleetctl`");
  EXPECT_EQ(Refused("device move a"), "--to is required");
  EXPECT_EQ(Refused(""), "A subcommand is required");
}

TEST_F(Program, HelpHasNoNamesOfTypesAndNoRanges) {
  const std::string help = move->help();
  EXPECT_THAT(help, HasSubstr("--to PLACE (required)"));
  EXPECT_THAT(help, HasSubstr("--times N"));
  EXPECT_THAT(help, HasSubstr("--how fast|safe"));
  EXPECT_THAT(help, HasSubstr("In what way [safe]"));
  for (const char* ugly : {"TEXT", "INT", "REQUIRED", "in [1", "{fast"})
    EXPECT_THAT(help, Not(HasSubstr(ugly)));
}

TEST_F(Program, HasAPageForEachCommand) {
  const std::vector<ManualPage> pages = ManualPages(Describe(app), "1.2");
  std::vector<std::string> files;
  for (const auto& [file, text] : pages) files.push_back(file);
  EXPECT_THAT(files, ElementsAre("fleetctl.1", "fleetctl-device.1", "fleetctl-device-list.1",
                                 "fleetctl-device-move.1"));
  const std::string& page = pages[3].second;
  EXPECT_THAT(page, HasSubstr(".TH FLEETCTL\\-DEVICE\\-MOVE 1 \"\" \"fleetctl 1.2\""));
  EXPECT_THAT(page, HasSubstr(".SH EXAMPLES\n.nf\nfleetctl device move a \\-\\-to x\n.fi\n"));
  EXPECT_THAT(page, HasSubstr("Moving takes time.\n\\&.Not a request\n"));
  EXPECT_THAT(page, HasSubstr("One of: fast, safe."));
}

TEST_F(Program, AsksForAShellThatItKnows) {
  EXPECT_TRUE(CompletionScript(Describe(app), "bash").ok());
  EXPECT_EQ(CompletionScript(Describe(app), "tcsh").status().code(),
            absl::StatusCode::kInvalidArgument);
}

// That the scripts work is shown by the shells themselves: tests/e2e/test_shell.py.
TEST_F(Program, QuotesWhatShellsWouldTake) {
  EXPECT_THAT(ZshCompletion(Describe(app)), HasSubstr("'list:List \\[all\\] devices'"));
  EXPECT_THAT(FishCompletion(Describe(app)), HasSubstr("-d 'Where the daemon\\'s at"));
}

}  // namespace
}  // namespace quantfleet::shell
