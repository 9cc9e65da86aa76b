#include "common/config/settings.h"

#include <gmock/gmock.h>

#include <CLI/CLI.hpp>
#include <cstdlib>

#include "common/config/file/read_toml.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace quantfleet::config {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// One setting of each kind.
struct Values {
  fs::path folder = "here";
  std::string name = "nobody";
  fs::path file;
  int count = 3;
  double rate = 0.5;
  bool loud = false;
  std::vector<std::string> words;
};

Settings RowsOf(Values& values) {
  const Text no_spaces{[&values](const std::string& text) -> absl::Status {
    if (text.find(' ') != std::string::npos) return InvalidArgument("'{}' has spaces", text);
    values.name = text;
    return absl::OkStatus();
  }};
  return {
      {.flag = "--folder", .key = "folder", .value = RequiredInto(values.folder), .help = "Where"},
      {.flag = "--name",
       .key = "who.name",
       .variable = "QUANTFLEET_TEST_NAME",
       .value = no_spaces,
       .help = "Who",
       .fallback = "nobody",
       .type = "NAME",
       .earlier = {{"--nom", "qui.nom"}}},
      {.flag = "--file", .key = "file", .value = FileInto(values.file), .help = "A file"},
      {.flag = "--count", .key = "count", .value = Into(values.count, 1, 9), .help = "How many"},
      {.flag = "--rate",
       .key = "rate",
       .value = Number{[&values](double rate) { values.rate = rate; }, 0, 1},
       .help = "How often"},
      {.flag = "--loud", .key = "loud", .value = Into(values.loud), .help = "So that all hear"},
      {.flag = "--word", .key = "words", .value = Into(values.words), .help = "What is said"},
      {.flag = "", .key = "only_in_file", .value = Into(values.count, 1, 9), .help = ""},
  };
}

class SettingsTest : public ::testing::Test {
 protected:
  absl::Status Read(const std::string& toml) { return ReadToml(RowsOf(values_), toml); }
  // What the program's arguments say; CLI11's own errors come as INVALID_ARGUMENT.
  absl::Status Parse(std::vector<std::string> arguments) {
    CLI::App app;
    const Given given = AddFlags(RowsOf(values_), app, true);
    try {
      std::reverse(arguments.begin(), arguments.end());
      app.parse(arguments);
    } catch (const CLI::ParseError& error) {
      return InvalidArgument("{}", error.what());
    }
    return given.Apply();
  }
  Values values_;
};

TEST_F(SettingsTest, AFileSaysEachKind) {
  ASSERT_OK(
      Read("folder = 'f'\nfile = 'x'\ncount = 9\nrate = 1\nloud = true\n"
           "words = ['a', 'b']\n[who]\nname = 'me'\n"));
  EXPECT_EQ(values_.folder, "f");
  EXPECT_EQ(values_.file, "x");
  EXPECT_EQ(values_.count, 9);
  EXPECT_EQ(values_.rate, 1);
  EXPECT_TRUE(values_.loud);
  EXPECT_EQ(values_.words, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(values_.name, "me");
}

TEST_F(SettingsTest, AFilesErrorsNameLineAndKeyAndNothingIsPut) {
  EXPECT_ERROR(Read(""), kInvalidArgument, "folder");
  EXPECT_ERROR(Read("folder = ''"), kInvalidArgument, "folder");
  EXPECT_ERROR(Read("folder = 'f'\ncount = 10"), kInvalidArgument, "line 2: count");
  EXPECT_ERROR(Read("folder = 'f'\nrate = 1.5"), kInvalidArgument, "line 2: rate");
  EXPECT_ERROR(Read("folder = 'f'\ncont = 2"), kInvalidArgument, "line 2", "cont");
  EXPECT_ERROR(Read("folder = 'f'\n[who]\nname = 'a b'"), kInvalidArgument, "'a b'");
  EXPECT_EQ(values_.count, 3);
}

TEST_F(SettingsTest, FlagsSayEachKind) {
  const testing::TempDir dir;
  ASSERT_OK(RealFileSystem().WriteAtomically(dir / "x", {}));
  ASSERT_OK(Parse({"--folder", "f", "--name", "me", "--file", (dir / "x").string(), "--count", "1",
                   "--rate", "0.25", "--loud", "--word", "a", "--word", "b"}));
  EXPECT_EQ(values_.folder, "f");
  EXPECT_EQ(values_.name, "me");
  EXPECT_EQ(values_.file, dir / "x");
  EXPECT_EQ(values_.count, 1);
  EXPECT_EQ(values_.rate, 0.25);
  EXPECT_TRUE(values_.loud);
  EXPECT_EQ(values_.words, (std::vector<std::string>{"a", "b"}));
}

TEST_F(SettingsTest, FlagsAreCheckedAsTheFileIs) {
  for (const std::vector<std::string>& bad :
       std::vector<std::vector<std::string>>{{"--count", "10"},
                                             {"--count", "x"},
                                             {"--rate", "-1"},
                                             {"--file", "/no/such"},
                                             {"--name", "a b"},
                                             {"--no-such"},
                                             {"--count", "1", "--count", "2"}})
    EXPECT_EQ(Parse(bad).code(), absl::StatusCode::kInvalidArgument) << bad[0];
  EXPECT_EQ(values_.count, 3);
}

TEST_F(SettingsTest, FlagsWinOverEnvironmentAndThatOverTheFile) {
  ASSERT_OK(Read("folder = 'f'\n[who]\nname = 'file'\n"));
  ASSERT_OK(Parse({}));
  EXPECT_EQ(values_.name, "file");
  ASSERT_OK(Parse({"--name", ""}));
  EXPECT_EQ(values_.name, "file") << "nothing is not a name";
  ::setenv("QUANTFLEET_TEST_NAME", "environment", 1);
  ASSERT_OK(Parse({}));
  EXPECT_EQ(values_.name, "environment");
  ASSERT_OK(Parse({"--name", "flag"}));
  EXPECT_EQ(values_.name, "flag");
  ::unsetenv("QUANTFLEET_TEST_NAME");
}

TEST_F(SettingsTest, EarlierSpellingsAreReadAndNotShown) {
  ASSERT_OK(Read("folder = 'f'\n[qui]\nnom = 'moi'\n"));
  EXPECT_EQ(values_.name, "moi");
  ASSERT_OK(Read("folder = 'f'\n[qui]\nnom = 'moi'\n[who]\nname = 'me'\n"));
  EXPECT_EQ(values_.name, "me");
  ASSERT_OK(Parse({"--nom", "moi"}));
  EXPECT_EQ(values_.name, "moi");
  CLI::App app;
  AddFlags(RowsOf(values_), app, true);
  EXPECT_THAT(app.help(), Not(HasSubstr("--nom")));
}

TEST_F(SettingsTest, HelpShowsWhatHoldsWithoutThem) {
  CLI::App behind_help, behind_type;
  AddFlags(RowsOf(values_), behind_help, true);
  EXPECT_THAT(behind_help.help(), HasSubstr("Who [nobody]"));
  EXPECT_THAT(behind_help.help(), HasSubstr("--count INT:INT in [1 - 9]"));
  AddFlags(RowsOf(values_), behind_type, false);
  EXPECT_THAT(behind_type.help(), HasSubstr("--name NAME=nobody (Env:QUANTFLEET_TEST_NAME)"));
}

}  // namespace
}  // namespace quantfleet::config
