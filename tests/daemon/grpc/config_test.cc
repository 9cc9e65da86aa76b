#include "daemon/config.h"

#include <set>

#include "tests/support/status_matchers.h"

namespace quantfleet::daemon {
namespace {

TEST(ParseHostPort, TakesHostsAndBracketedAddresses) {
  EXPECT_EQ(ToString(*ParseHostPort("127.0.0.1:7443")), "127.0.0.1:7443");
  EXPECT_EQ(ToString(*ParseHostPort("[::1]:0")), "[::1]:0");
  for (const char* bad : {"", "host", ":1", "h:", "h:65536", "h:-1", "h:1x", "::1:5"})
    EXPECT_ERROR(ParseHostPort(bad), kInvalidArgument, fmt::format("'{}'", bad)) << bad;
}

TEST(ParseConfig, ReadsSettingsAndKeepsDefaults) {
  const auto config = ParseConfig(
      "data = '/srv/q'\nlisten = '0.0.0.0:1'\ncheck_in_seconds = 1.5\nmemory_mib = 64\n");
  ASSERT_OK(config.status());
  EXPECT_EQ(config->data, "/srv/q");
  EXPECT_EQ(config->listen.port, 1);
  EXPECT_EQ(config->check_in.count(), 1500);
  EXPECT_EQ(config->memory_mib, 64u);
  EXPECT_EQ(config->http.port, 7444);
  EXPECT_EQ(config->enrollment_queue, 0u);
}

TEST(ParseConfig, ReadsWhoMayEnroll) {
  const auto config = ParseConfig("data = 'a'\n[enrollment]\nqueue = 5\nca = '/etc/acme.pem'\n");
  ASSERT_OK(config.status());
  EXPECT_EQ(config->enrollment_queue, 5u);
  EXPECT_EQ(config->enrollment_ca, "/etc/acme.pem");
  EXPECT_ERROR(ParseConfig("data='a'\n[enrollment]\nqueue = 5000\n"), kInvalidArgument,
               "enrollment.queue");
}

TEST(ParseConfig, ReadsTheOldSpellingOfEnrollment) {
  const auto config = ParseConfig("data = 'a'\n[enrolment]\nqueue = 5\nca = '/etc/acme.pem'\n");
  ASSERT_OK(config.status());
  EXPECT_EQ(config->enrollment_queue, 5u);
  EXPECT_EQ(config->enrollment_ca, "/etc/acme.pem");
}

TEST(ParseConfig, RefusesWithLineAndKey) {
  EXPECT_ERROR(ParseConfig(""), kInvalidArgument, "data");
  EXPECT_ERROR(ParseConfig("data='a'\nport=3\n"), kInvalidArgument, "line 2", "port");
  EXPECT_ERROR(ParseConfig("data='a'\nthreads='two'\n"), kInvalidArgument, "line 2", "threads");
  EXPECT_ERROR(ParseConfig("data='a'\nlisten='here'\n"), kInvalidArgument, "HOST:PORT");
  EXPECT_ERROR(ParseConfig("data='a'\nlog_level='loud'\n"), kInvalidArgument, "loud");
}

// Each row of the table, without naming one: what a new setting gets is tested with it.
// Each row of the table, without naming one: what a new setting gets is tested with it.
TEST(Settings, EachIsReadWithinItsRangeAndStandsInTheReference) {
  const auto reference =
      RealFileSystem().ReadAll(QUANTFLEET_SOURCE_DIR "/docs/reference/daemon.md");
  ASSERT_OK(reference);
  Config config;
  std::set<std::string> names;
  for (const config::Setting& setting : SettingsOf(config)) {
    const std::string& key = setting.key;
    EXPECT_TRUE(names.insert(key).second) << key << " stands twice";
    EXPECT_FALSE(setting.help.empty() || setting.fallback.empty()) << key;
    const size_t dot = key.find('.');
    const std::string written =
        dot == std::string::npos ? key
                                 : fmt::format("[{}] {}", key.substr(0, dot), key.substr(dot + 1));
    const std::string row = setting.flag.empty()
                                ? fmt::format("| | `{}` |", written)
                                : fmt::format("| `{}` | `{}` |", setting.flag, written);
    EXPECT_NE(reference->find(row), std::string::npos) << row;
    const auto* whole = std::get_if<config::Whole>(&setting.value);
    if (!whole) continue;
    const auto parse = [&key](int64_t value) {
      return ParseConfig(fmt::format("data = 'a'\n{} = {}\n", key, value)).status();
    };
    EXPECT_OK(parse(whole->least));
    EXPECT_OK(parse(whole->most));
    EXPECT_ERROR(parse(whole->least - 1), kInvalidArgument, "line 2: " + key);
    EXPECT_ERROR(parse(whole->most + 1), kInvalidArgument, "line 2: " + key);
  }
}

}  // namespace
}  // namespace quantfleet::daemon
