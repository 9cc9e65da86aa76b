#include "agent/platform/unwritten.h"

#include <gmock/gmock.h>

#include "tests/support/status_matchers.h"

namespace quantfleet::agent {
namespace {

using ::testing::HasSubstr;

TEST(Unwritten, IsSaidOnceAndTakenBackOnceItIsWritten) {
  std::vector<std::string> log;
  Unwritten unwritten([&log](const std::string& line) { log.push_back(line); });
  EXPECT_OK(unwritten.Note("a", absl::OkStatus()));
  EXPECT_EQ(unwritten.Text(), "");
  EXPECT_TRUE(log.empty());
  for (int i = 0; i < 3; ++i)
    EXPECT_ERROR(unwritten.Note("a", ResourceExhausted("full")), kResourceExhausted, "full");
  EXPECT_ERROR(unwritten.Note("b", PermissionDenied("read-only")), kPermissionDenied, "");
  EXPECT_EQ(log.size(), 2u);
  EXPECT_THAT(unwritten.Text(), HasSubstr("a: full"));
  EXPECT_THAT(unwritten.Text(), HasSubstr("b: read-only"));
  EXPECT_ERROR(unwritten.Note("a", PermissionDenied("other")), kPermissionDenied, "");
  EXPECT_EQ(log.size(), 3u) << "for another reason";
  for (const char* what : {"a", "b", "a"}) EXPECT_OK(unwritten.Note(what, absl::OkStatus()));
  EXPECT_EQ(unwritten.Text(), "");
  EXPECT_EQ(log.size(), 5u);
}

TEST(Unwritten, IsCutForTheReport) {
  Unwritten unwritten([](const std::string&) {});
  EXPECT_FALSE(unwritten.Note("a", Internal("{}", std::string(5000, 'x'))).ok());
  EXPECT_LE(unwritten.Text().size(), Unwritten::kMaxText + 50);
}

}  // namespace
}  // namespace quantfleet::agent
