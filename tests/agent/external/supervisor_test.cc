#include "agent/external/supervisor.h"

#include <gmock/gmock.h>
#include <signal.h>

#include <algorithm>
#include <atomic>

#include "tests/agent/fake_sleeper.h"
#include "tests/agent/verdict_matchers.h"
#include "tests/support/eventually.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace quantfleet::agent {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr char kForever[] = "echo at $0; while :; do sleep 0.01; done";

class SupervisorTest : public ::testing::Test {
 protected:
  static v1::Runtime Running(const std::string& script) {
    v1::Runtime runtime;
    runtime.set_command("server");
    for (const std::string& arg :
         {std::string("-c"), script, std::string("{port}"), std::string("{name}")})
      runtime.add_args(arg);
    runtime.set_health_path("/health");
    runtime.set_start_timeout_seconds(5);
    runtime.set_stop_timeout_seconds(5);
    runtime.set_restart_ms(1000);
    return runtime;
  }
  std::unique_ptr<Supervisor> Start(const v1::Runtime& runtime) {
    return std::make_unique<Supervisor>(
        RuntimeOrder{.program = "/bin/sh",
                     .runtime = runtime,
                     .values = {{"name", "demo"}},
                     .socket = dir_.path() / "s.sock",
                     .folder = dir_.path() / "s",
                     .disk_bytes = 1 << 20},
        SupervisorWorld{
            .clock = clock_,
            .random = random_,
            .sleeper = sleeper_,
            .ask =
                [this](const std::string& address, const std::string& path, std::stop_token) {
                  EXPECT_EQ(path, "/health");
                  std::lock_guard lock(mutex_);
                  asked_ = address;
                  clock_.Advance(time_of_ask_);
                  return ready_ ? absl::OkStatus() : Unavailable("loading");
                },
            .log =
                [this](std::string_view line) {
                  std::lock_guard lock(mutex_);
                  lines_.emplace_back(line);
                  said_.notify_all();
                },
            .on_given_up = [this] { ++given_up_; },
            .ask_until_ready = Duration(1),
            .ask_when_ready = Duration(1)});
  }
  void SetReady(bool ready, Duration time_of_ask = Duration(0)) {
    std::lock_guard lock(mutex_);
    ready_ = ready;
    time_of_ask_ = time_of_ask;
  }
  // The n-th line that holds `part`, once there is one.
  std::string AwaitLine(std::string_view part, int n = 1) {
    std::unique_lock lock(mutex_);
    std::string found;
    const auto there = [&] {
      int count = 0;
      for (const std::string& line : lines_)
        if (line.find(part) != std::string::npos && ++count == n) found = line;
      return !found.empty();
    };
    EXPECT_TRUE(said_.wait_for(lock, testing::kLongEnough, there)) << "nothing says " << part;
    return found;
  }
  pid_t AwaitProcess(int n = 1) {
    const std::string line = AwaitLine("as process ", n);
    return line.empty() ? 0 : std::stoi(line.substr(line.rfind(' ')));
  }
  void AwaitGivenUp() const {
    EXPECT_TRUE(testing::Eventually([this] { return given_up_ != 0; }));
  }
  static void AwaitAddress(Supervisor& supervisor) {
    EXPECT_TRUE(testing::Eventually(
        [&] { return !supervisor.upstream()->address().empty() || !supervisor.condition().ok(); }));
  }

  testing::TempDir dir_;
  ManualClock clock_;
  SeededRandom random_{3};
  FakeSleeper sleeper_;
  std::mutex mutex_;
  std::condition_variable said_;
  std::vector<std::string> lines_;
  std::string asked_;
  bool ready_ = true;
  Duration time_of_ask_{0};
  std::atomic<int> given_up_{0};
};

TEST_F(SupervisorTest, IsReadyWhenItSaysSoAndEndsWithItsOwner) {
  SetReady(false);
  auto supervisor = Start(Running("echo $0 $1 $PATH; while :; do sleep 0.01; done"));
  AwaitLine("demo /usr/local/bin:/usr/bin:/bin");
  EXPECT_EQ(supervisor->upstream()->address(), "");
  SetReady(true);
  ASSERT_CAME_OFF(supervisor->AwaitReady({}));
  const std::string address = supervisor->upstream()->address();
  EXPECT_THAT(address, StartsWith("127.0.0.1:"));
  EXPECT_EQ(AwaitLine("demo"), address.substr(10) + " demo /usr/local/bin:/usr/bin:/bin");
  const pid_t pid = AwaitProcess();
  EXPECT_EQ(::kill(pid, 0), 0);
  supervisor.reset();
  EXPECT_NE(::kill(pid, 0), 0);
  EXPECT_EQ(given_up_, 0);
}

TEST_F(SupervisorTest, OneThatEndsIsStartedAgainLaterAndLaterAndThenGivenUp) {
  SetReady(false);
  v1::Runtime runtime = Running("echo no such weights >&2; exit 3");
  runtime.set_restarts(2);
  const auto supervisor = Start(runtime);
  const Verdict status = supervisor->AwaitReady({});
  EXPECT_SETBACK(status, kHealthFailed, "2 restarts", "exit status 3");
  EXPECT_THAT(status.detail(), HasSubstr("no such weights"));
  const auto slept = sleeper_.slept();
  ASSERT_EQ(slept.size(), 2u);
  EXPECT_TRUE(slept[0] >= Duration(500) && slept[0] <= Duration(1000));
  EXPECT_TRUE(slept[1] >= Duration(1000) && slept[1] <= Duration(2000));
  EXPECT_TRUE(supervisor->condition() == status);
}

TEST_F(SupervisorTest, NotReadyInTimeIsGivenUpWithoutAnotherTry) {
  SetReady(false, std::chrono::seconds(1));
  v1::Runtime runtime = Running(kForever);
  runtime.set_restarts(100);
  const auto supervisor = Start(runtime);
  EXPECT_SETBACK(supervisor->AwaitReady({}), kHealthFailed, "5 s", "loading");
  EXPECT_TRUE(sleeper_.slept().empty());
}

TEST_F(SupervisorTest, OneThatIsKilledComesBackAndOldSinsAreForgotten) {
  v1::Runtime runtime = Running(kForever);
  runtime.set_restarts(1);
  const auto supervisor = Start(runtime);
  ASSERT_CAME_OFF(supervisor->AwaitReady({}));
  for (int life = 1; life <= 3; ++life) {
    AwaitAddress(*supervisor);
    clock_.Advance(std::chrono::seconds(60));
    ::kill(AwaitProcess(life), SIGKILL);
    AwaitLine("signal 9", life);
  }
  AwaitAddress(*supervisor);
  EXPECT_CAME_OFF(supervisor->condition());
  for (const Duration time : sleeper_.slept()) EXPECT_LE(time, Duration(1000));
  // Its one restart did not last a minute.
  ::kill(AwaitProcess(4), SIGKILL);
  AwaitGivenUp();
  EXPECT_SETBACK(supervisor->condition(), kHealthFailed, "1 restart:", "signal 9");
  EXPECT_EQ(supervisor->upstream()->address(), "");
}

TEST_F(SupervisorTest, OneThatHangsIsEnded) {
  v1::Runtime runtime = Running(kForever);
  runtime.set_restarts(100);
  const auto supervisor = Start(runtime);
  ASSERT_CAME_OFF(supervisor->AwaitReady({}));
  const pid_t first = AwaitProcess();
  SetReady(false, std::chrono::seconds(1));
  AwaitLine("(loading)");
  EXPECT_NE(::kill(first, 0), 0);
  SetReady(true);
  AwaitProcess(2);
  AwaitAddress(*supervisor);
  EXPECT_CAME_OFF(supervisor->condition());
}

TEST_F(SupervisorTest, OneThatTakesTooMuchMemoryIsEnded) {
  v1::Runtime runtime = Running(kForever);
  runtime.set_memory_bytes(1024);
  const auto supervisor = Start(runtime);
  EXPECT_SETBACK(supervisor->AwaitReady({}), kOutOfMemory, "1.0 KiB");
  AwaitGivenUp();
}

TEST_F(SupervisorTest, OneThatCannotRunTheArtifactIsNotStartedAgain) {
  SetReady(false);
  const auto supervisor = Start(Running("echo made for another version; exit 78"));
  EXPECT_SETBACK(supervisor->AwaitReady({}), kHealthFailed, "0 restarts", "exit status 78",
                 "made for another version");
  EXPECT_TRUE(sleeper_.slept().empty());
}

TEST_F(SupervisorTest, OneThatFillsTheDiskIsEndedAndWhatItWroteRemoved) {
  const fs::path folder = dir_.path() / "s";
  auto supervisor = Start(Running("echo x > a; echo $HOME $TMPDIR; " + std::string(kForever)));
  ASSERT_CAME_OFF(supervisor->AwaitReady({}));
  AwaitLine(folder.string() + " " + folder.string());
  EXPECT_TRUE(fs::exists(folder / "a"));
  supervisor.reset();
  supervisor = Start(Running("head -c 2000000 /dev/zero > a; " + std::string(kForever)));
  AwaitGivenUp();
  EXPECT_SETBACK(supervisor->condition(), kHealthFailed, "1.0 MiB", "--runtime-disk-mib");
  supervisor.reset();
  EXPECT_FALSE(fs::exists(folder));
}

TEST_F(SupervisorTest, OneThatNeverStopsTalkingIsWatchedAndItsLogBounded) {
  const auto supervisor = Start(Running("while :; do echo word; done"));
  ASSERT_CAME_OFF(supervisor->AwaitReady({}));
  AwaitLine("200 lines in a minute");
  {
    std::lock_guard lock(mutex_);
    EXPECT_EQ(std::ranges::count(lines_, std::string("word")), 200);
  }
  clock_.Advance(std::chrono::minutes(1));
  AwaitLine("200 lines in a minute", 2);
}

TEST_F(SupervisorTest, WhatCannotBeStartedIsSaid) {
  v1::Runtime runtime = Running(kForever);
  Supervisor supervisor(
      RuntimeOrder{"/nonexistent/server", runtime, {{"name", "demo"}}, dir_.path() / "s.sock"},
      SupervisorWorld{clock_, random_, sleeper_, {}, [](std::string_view) {}, [] {}});
  EXPECT_SETBACK(supervisor.AwaitReady({}), kHealthFailed, "starting /nonexistent/server");
}

TEST_F(SupervisorTest, WaitingForItEndsWithAStop) {
  SetReady(false);
  const auto supervisor = Start(Running(kForever));
  std::stop_source stop;
  std::jthread stopper([&] { stop.request_stop(); });
  EXPECT_SETBACK(supervisor->AwaitReady(stop.get_token()), kInterrupted, "");
}

TEST_F(SupervisorTest, AUnixSocketIsNamedAndRemoved) {
  v1::Runtime runtime = Running("touch $0; " + std::string(kForever));
  runtime.set_args(2, "{socket}");
  auto supervisor = Start(runtime);
  ASSERT_CAME_OFF(supervisor->AwaitReady({}));
  EXPECT_EQ(supervisor->upstream()->address(), "unix:" + (dir_.path() / "s.sock").string());
  AwaitLine("at ");
  EXPECT_TRUE(fs::exists(dir_.path() / "s.sock"));
  supervisor.reset();
  EXPECT_FALSE(fs::exists(dir_.path() / "s.sock"));
}

}  // namespace
}  // namespace quantfleet::agent
