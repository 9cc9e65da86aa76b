#include "agent/provision.h"

#include <gmock/gmock.h>

#include <fstream>

#include "common/base/retry_after.h"
#include "tests/agent/fake_sleeper.h"
#include "tests/agent/identity/fake_daemon.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace quantfleet::agent {
namespace {

constexpr Duration kSecond = std::chrono::seconds(1);

class ProvisionTest : public ::testing::Test {
 protected:
  ProvisionTest() {
    given_.command_line = dir_ / "cmdline";
    Write("cmdline", "");
  }
  void Write(const std::string& name, const std::string& text) {
    std::ofstream(dir_ / name) << text;
    fs::permissions(dir_ / name, fs::perms::owner_read | fs::perms::owner_write);
  }
  AgentWorld World() { return {RealFileSystem(), daemon_.clock_, random_, daemon_.connector()}; }
  absl::Status Ensure(std::stop_token stop = {}) {
    return EnsureEnrolled(World(), dir_ / "state", {}, given_, sleeper_, stop);
  }
  bool Enrolled() { return IdentityStore(RealFileSystem(), dir_ / "state").Load().ok(); }

  testing::TempDir dir_;
  FakeDaemon daemon_;
  SeededRandom random_{5};
  FakeSleeper sleeper_;
  Provisioning given_;
};

TEST(KernelParameter, IsTheLastWordsValue) {
  EXPECT_EQ(KernelParameter("ro quantfleet.server=d:1 quiet\n", "quantfleet.server"), "d:1");
  EXPECT_EQ(KernelParameter("a=1 b a=2", "a"), "2");
  EXPECT_EQ(KernelParameter("init=\"/x a=3\" a=\"b c\"", "a"), "b c");
  EXPECT_EQ(KernelParameter("aa=1 a", "a"), "");
  EXPECT_EQ(KernelParameter("", "a"), "");
}

TEST_F(ProvisionTest, WhatIsGivenByHandWinsOverTheKernel) {
  Write("cmdline",
        "quantfleet.server=kernel:1 quantfleet.token=k quantfleet.ca=" + std::string(64, 'a'));
  auto request = ReadProvisioning(RealFileSystem(), given_);
  ASSERT_OK(request);
  EXPECT_EQ(request->server, "kernel:1");
  EXPECT_EQ(request->token, "k");
  EXPECT_EQ(request->ca->hex(), std::string(64, 'a'));
  Write("token", " from-file \n");
  given_.token_file = dir_ / "token";
  given_.server = "hand:1";
  request = ReadProvisioning(RealFileSystem(), given_);
  ASSERT_OK(request);
  EXPECT_EQ(request->server, "hand:1");
  EXPECT_EQ(request->token, "from-file");
  given_.token = "direct";
  EXPECT_EQ(ReadProvisioning(RealFileSystem(), given_)->token, "direct");
}

TEST_F(ProvisionTest, WhatIsMissingIsSaid) {
  EXPECT_ERROR(ReadProvisioning(RealFileSystem(), given_), kNotFound, "");
  given_.server = "d:1";
  EXPECT_ERROR(ReadProvisioning(RealFileSystem(), given_), kInvalidArgument,
               "quantfleet token create");
  given_.ca = "12";
  EXPECT_ERROR(ReadProvisioning(RealFileSystem(), given_), kInvalidArgument, "--ca");
  given_.ca = std::string(64, '0');
  EXPECT_OK(ReadProvisioning(RealFileSystem(), given_));
  given_.certificate = dir_ / "c.pem";
  EXPECT_ERROR(ReadProvisioning(RealFileSystem(), given_), kInvalidArgument, "--certificate",
               "--key");
  given_.server.clear();
  EXPECT_ERROR(ReadProvisioning(RealFileSystem(), given_), kInvalidArgument, "--server");
}

TEST_F(ProvisionTest, ATokenOrAKeyThatOthersMayReadIsRefusedWithTheCommandThatMendsIt) {
  given_.server = "d:1";
  given_.token_file = dir_ / "token";
  Write("token", "qf1.x");
  for (const int mode : {0644, 0640, 0666, 0602}) {
    fs::permissions(dir_ / "token", static_cast<fs::perms>(mode));
    EXPECT_ERROR(ReadProvisioning(RealFileSystem(), given_), kFailedPrecondition,
                 "chmod 600 " + given_.token_file.string());
  }
  fs::permissions(dir_ / "token", fs::perms::owner_read);
  EXPECT_OK(ReadProvisioning(RealFileSystem(), given_));
  Write("c.pem", "certificate");
  fs::permissions(dir_ / "c.pem", static_cast<fs::perms>(0644));  // everybody's to read
  Write("k.pem", "key");
  given_.certificate = dir_ / "c.pem";
  given_.certificate_key = dir_ / "k.pem";
  EXPECT_OK(ReadProvisioning(RealFileSystem(), given_));
  fs::permissions(given_.certificate_key, static_cast<fs::perms>(0640));
  EXPECT_ERROR(ReadProvisioning(RealFileSystem(), given_), kFailedPrecondition,
               "chmod 600 " + given_.certificate_key.string());
}

TEST_F(ProvisionTest, AStateFolderThatOthersMayWriteIsNoPlaceForAKey) {
  given_.server = "daemon:8443";
  given_.token = daemon_.Token();
  fs::create_directory(dir_ / "state");
  fs::permissions(dir_ / "state", fs::perms::all);
  EXPECT_ERROR(Ensure(), kFailedPrecondition, "chmod go-w " + (dir_ / "state").string());
  EXPECT_FALSE(fs::exists(dir_ / "state/device.key"));
  EXPECT_EQ(daemon_.connections, 0);
}

TEST_F(ProvisionTest, NothingGivenIsNotEnrolled) {
  EXPECT_ERROR(Ensure(), kNotFound, "quantfleet-agent enroll");
  EXPECT_TRUE(sleeper_.slept().empty());
}

TEST_F(ProvisionTest, ATokenFileMayAppearLater) {
  given_.server = "daemon:8443";
  given_.token_file = dir_ / "token";
  sleeper_.on_sleep = [&] {
    const size_t pauses = sleeper_.slept().size();
    if (pauses == 2) Write("token", daemon_.Token());
  };
  ASSERT_OK(Ensure());
  EXPECT_TRUE(Enrolled());
  EXPECT_EQ(sleeper_.slept().size(), 2u);
  // Enrolled, what was given is not looked at any more.
  Write("token", "rubbish");
  EXPECT_OK(Ensure());
  EXPECT_EQ(daemon_.enrollments, 1);
}

TEST_F(ProvisionTest, GoesOnWhenAnOperatorHasDecided) {
  Write("cmdline",
        "quiet quantfleet.server=daemon:8443 quantfleet.token=" + daemon_.Token() + "\n");
  daemon_.refuse = [](const v1::EnrollRequest&) {
    return WithRetryAfter(FailedPrecondition("waits"), 10 * kSecond);
  };
  sleeper_.on_sleep = [&] {
    const size_t pauses = sleeper_.slept().size();
    if (pauses == 3) daemon_.refuse = nullptr;
  };
  ASSERT_OK(Ensure());
  ASSERT_EQ(sleeper_.slept().size(), 3u);
  for (const Duration pause : sleeper_.slept()) {
    EXPECT_GE(pause, 10 * kSecond);
    EXPECT_LE(pause, 11 * kSecond);
  }
}

TEST_F(ProvisionTest, ABetterTokenMayTakeTheOldOnesPlace) {
  given_.server = "daemon:8443";
  given_.token_file = dir_ / "token";
  Write("token", daemon_.Token());
  daemon_.refuse = [](const v1::EnrollRequest&) { return PermissionDenied("revoked"); };
  sleeper_.on_sleep = [&] {
    const size_t pauses = sleeper_.slept().size();
    if (pauses < 4) return;
    Write("token", daemon_.Token());
    daemon_.refuse = nullptr;
  };
  ASSERT_OK(Ensure());
  ASSERT_EQ(sleeper_.slept().size(), 4u);
  EXPECT_GT(sleeper_.slept()[3], 2 * sleeper_.slept()[0]) << "refused, it asks ever more seldom";
}

TEST_F(ProvisionTest, StopEndsTheWait) {
  given_.server = "daemon:8443";
  given_.token = daemon_.Token();
  daemon_.away = true;
  std::stop_source stop;
  sleeper_.on_sleep = [&] {
    const size_t pauses = sleeper_.slept().size();
    if (pauses == 2) stop.request_stop();
  };
  EXPECT_ERROR(Ensure(stop.get_token()), kCancelled, "stopped");
  EXPECT_FALSE(Enrolled());
}

TEST_F(ProvisionTest, WithoutStubbornnessOnlyWhatTimeMendsIsWaitedFor) {
  int attempts = 0;
  const auto attempt = [&]() -> absl::StatusOr<Enrollment> {
    switch (++attempts) {
      case 1:
        return WithRetryAfter(ResourceExhausted("rate"), 99 * std::chrono::hours(1));
      case 2:
        return Unavailable("the daemon is restarted");
      default:
        return PermissionDenied("used up");
    }
  };
  EXPECT_ERROR(EnrollPatiently(attempt, {}, random_, sleeper_, {}), kPermissionDenied, "used up");
  ASSERT_EQ(sleeper_.slept().size(), 2u);
  EXPECT_LE(sleeper_.slept()[0], std::chrono::minutes(66)) << "at most an hour, and a tenth";
  attempts = 1;  // away before anything was said
  EXPECT_ERROR(EnrollPatiently(attempt, {}, random_, sleeper_, {}), kUnavailable, "restarted");
  EXPECT_EQ(sleeper_.slept().size(), 2u);
}

}  // namespace
}  // namespace quantfleet::agent
