#include "cli/remote_format.h"

#include <gtest/gtest.h>

#include "common/base/digest.h"

namespace quantfleet::cli {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

TEST(Table, AlignsColumns) {
  Table table({"NAME", ">SIZE", "STATE"});
  table.Add({"a", "1 B", "RUNNING"});
  table.Add({"longer name", "1.5 GiB", ""});
  table.Add({"größe", "12 B"});
  EXPECT_EQ(table.ToString("none"),
            "NAME            SIZE  STATE\n"
            "a                1 B  RUNNING\n"
            "longer name  1.5 GiB  -\n"
            "größe           12 B  -\n");
}

TEST(Table, SaysWhenThereIsNothing) {
  EXPECT_EQ(Table({"NAME"}).ToString("no models"), "no models\n");
}

TEST(Fields, AlignsValues) {
  EXPECT_EQ(Fields({{"id", "d1"}, {"class", ""}}), "id:     d1\nclass:  -\n");
}

// A device reports its own CPU model: an escape sequence in it must not reach the operator's
// terminal.
TEST(Printable, ControlCharactersGoNowhere) {
  EXPECT_EQ(Printable("a\x1b[2Jb\r\n\x7f"), "a\\x1b[2Jb\\r\\n\\x7f");
  EXPECT_EQ(Printable("\xC2\x9B"
                      "2J"),
            "\\u009b2J");
  EXPECT_EQ(Printable("größe"), "größe");
  Table table({"CPU"});
  table.Add({"\x1b]0;owned\x07"});
  EXPECT_EQ(table.ToString("").find('\x1b'), std::string::npos);
  EXPECT_EQ(Fields({{"cpu", "\x1b[0m"}}).find('\x1b'), std::string::npos);
}

TEST(HumanDuration, KeepsTwoUnits) {
  EXPECT_EQ(HumanDuration(seconds(0)), "0s");
  EXPECT_EQ(HumanDuration(seconds(-5)), "0s");
  EXPECT_EQ(HumanDuration(seconds(59)), "59s");
  EXPECT_EQ(HumanDuration(seconds(60)), "1m");
  EXPECT_EQ(HumanDuration(seconds(150)), "2m 30s");
  EXPECT_EQ(HumanDuration(hours(3) + minutes(20)), "3h 20m");
  EXPECT_EQ(HumanDuration(hours(24)), "1d");
  EXPECT_EQ(HumanDuration(hours(50)), "2d 2h");
}

TEST(Relative, LooksBothWays) {
  const Time now = FromUnixMillis(1'800'000'000'000);
  EXPECT_EQ(Relative(0, now), "-");
  EXPECT_EQ(Relative(ToUnixMillis(now - minutes(5)), now), "5m ago");
  EXPECT_EQ(Relative(ToUnixMillis(now + hours(24)), now), "in 1d");
  EXPECT_EQ(Relative(ToUnixMillis(now + hours(24) - seconds(1)), now), "in 1d");
  EXPECT_EQ(Relative(ToUnixMillis(now + seconds(90)), now), "in 1m 30s");
  EXPECT_EQ(UtcTime(1'800'000'000'000), "2027-01-15 08:00:00 UTC");
  EXPECT_EQ(UtcTime(0), "-");
}

TEST(Digests, AreHex) {
  EXPECT_EQ(ShortDigest(HashText("x").raw()), HashText("x").hex().substr(0, 12));
  EXPECT_EQ(HexDigest(HashText("x").raw()), HashText("x").hex());
  EXPECT_EQ(ShortDigest(""), "-");
}

TEST(Numbers, ForPeople) {
  EXPECT_EQ(HumanCount(999), "999");
  EXPECT_EQ(HumanCount(3'821'079'552), "3.8 B");
  EXPECT_EQ(Share(1, 2), "50 %");
  EXPECT_EQ(Share(3, 2), "100 %");
  EXPECT_EQ(Share(999, 1000), "99 %") << "not done is never 100 %";
  EXPECT_EQ(Share(0, 0), "-");
  EXPECT_EQ(Bar(1, 2, 10), "[#####-----]");
  EXPECT_EQ(Bar(5, 2, 4), "[####]");
  EXPECT_EQ(Bar(0, 0, 4), "[----]");
}

TEST(ParseTtl, UnderstandsUnitsAndNothingElse) {
  const std::pair<const char*, int64_t> good[] = {
      {"90s", 90},       {"30m", 1800},     {"24h", 86400},         {"7d", 7 * 86400},
      {"1d12h", 129600}, {"1h30m5s", 5405}, {"3650d", 3650 * 86400}};
  for (const auto& [text, wanted] : good) {
    const auto seconds_parsed = ParseDurationSeconds(text);
    ASSERT_TRUE(seconds_parsed.ok()) << text << ": " << seconds_parsed.status();
    EXPECT_EQ(*seconds_parsed, wanted) << text;
  }
  for (const char* bad : {"", "0s", "5", "h", "-1h", "1.5h", "1w", "24 h", "h24", "3651d",
                          "99999999999999999999s", "3650d3650d", "1h\x1b"})
    EXPECT_EQ(ParseDurationSeconds(bad).status().code(), absl::StatusCode::kInvalidArgument) << bad;
}

TEST(ParseLabel, NeedsAKey) {
  EXPECT_EQ(*ParseLabel("site=berlin"), (std::pair<std::string, std::string>{"site", "berlin"}));
  EXPECT_EQ(*ParseLabel("a=b=c"), (std::pair<std::string, std::string>{"a", "b=c"}));
  EXPECT_EQ(*ParseLabel("a="), (std::pair<std::string, std::string>{"a", ""}));
  EXPECT_FALSE(ParseLabel("a").ok());
  EXPECT_FALSE(ParseLabel("=b").ok());
}

}  // namespace
}  // namespace quantfleet::cli
