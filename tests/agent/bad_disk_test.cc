// An agent that starts on a disk that takes nothing.

#include <gmock/gmock.h>

#include "agent/agent.h"
#include "agent/identity/enrollment.h"
#include "agent/status_file.h"
#include "tests/agent/identity/fake_daemon.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace quantfleet::agent {
namespace {

using ::testing::HasSubstr;

class BadDiskTest : public ::testing::Test {
 protected:
  void SetUp() override {
    TrustedClock clock(daemon_.clock_);
    EnrollmentRequest request;
    request.server = "daemon:8443";
    request.token = daemon_.Token();
    ASSERT_OK(
        Enroll(IdentityStore(files_, dir_.path()), daemon_.connector(), clock, random_, request));
  }
  // A whole life of the agent: it ends when all that was assigned, which is nothing, is done.
  absl::Status Run() {
    AgentOptions options;
    options.state = dir_.path();
    options.once = true;
    return RunAgent({files_, daemon_.clock_, random_, daemon_.connector(), "1.2.3"}, options, {})
        .status();
  }
  void ExpectWritten() {
    EXPECT_OK(Run());
    EXPECT_EQ(daemon_.last_check_in.unwritten(), "");
    EXPECT_EQ(ReadStatus(files_, dir_.path())->program.version, "1.2.3");
  }

  testing::FaultyFileSystem files_;
  testing::TempDir dir_;
  FakeDaemon daemon_;
  SeededRandom random_{9};
};

TEST_F(BadDiskTest, AFullDiskEndsNothingAndIsReported) {
  files_.SetWriteBudget(0);
  EXPECT_OK(Run());
  EXPECT_GT(daemon_.check_ins, 0);
  EXPECT_THAT(daemon_.last_check_in.unwritten(), HasSubstr("status.json"));
  EXPECT_THAT(daemon_.last_check_in.unwritten(), HasSubstr("No space left"));
  EXPECT_FALSE(files_.Exists(dir_ / "status.json"));
  files_.SetWriteBudget(1 << 20);
  ExpectWritten();
}

TEST_F(BadDiskTest, AReadOnlyDiskEndsNothingAndIsReported) {
  files_.SetReadOnly(true);
  EXPECT_OK(Run());
  EXPECT_GT(daemon_.check_ins, 0);
  EXPECT_THAT(daemon_.last_check_in.unwritten(), HasSubstr("Read-only file system"));
  EXPECT_THAT(ReadStatus(files_, dir_.path())->unwritable, HasSubstr("Read-only file system"));
  EXPECT_FALSE(files_.Exists(dir_ / "run")) << "its sockets are elsewhere";
  files_.SetReadOnly(false);
  ExpectWritten();
  EXPECT_EQ(ReadStatus(files_, dir_.path())->unwritable, "");
}

}  // namespace
}  // namespace quantfleet::agent
