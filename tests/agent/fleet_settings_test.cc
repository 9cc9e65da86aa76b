#include "agent/fleet_settings.h"

#include <set>

#include "tests/support/status_matchers.h"

namespace quantfleet::agent {
namespace {

// Each row of the tables, without naming one: what a new setting gets is tested with it.
TEST(FleetSettings, EachStandsOnceAndInTheReference) {
  const auto reference = RealFileSystem().ReadAll(QUANTFLEET_SOURCE_DIR "/docs/reference/agent.md");
  ASSERT_OK(reference);
  EnrollOptions enroll;
  StartOptions start;
  for (const config::Settings& rows : {SettingsOf(enroll), SettingsOf(start)}) {
    std::set<std::string> flags;
    for (const config::Setting& setting : rows) {
      EXPECT_TRUE(flags.insert(setting.flag).second) << setting.flag;
      EXPECT_NE(reference->find(setting.flag), std::string::npos) << setting.flag;
      EXPECT_FALSE(setting.help.empty()) << setting.flag;
      EXPECT_NE(reference->find(setting.variable), std::string::npos) << setting.variable;
    }
  }
}

}  // namespace
}  // namespace quantfleet::agent
