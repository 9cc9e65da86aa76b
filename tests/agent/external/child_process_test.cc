#include "agent/external/child_process.h"

#include <gmock/gmock.h>
#include <signal.h>

#include <fstream>
#include <thread>

#include "tests/support/eventually.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace quantfleet::agent {
namespace {

using ::testing::ElementsAre;
using Event = ChildProcess::Event;

constexpr Duration kLong = std::chrono::seconds(60);

class ChildProcessTest : public ::testing::Test {
 protected:
  std::unique_ptr<ChildProcess> Shell(const std::string& script) {
    auto child =
        ChildProcess::Start({"/bin/sh", {"-c", script}, {"WORD=hello", "PATH=/usr/bin:/bin"}},
                            [this](std::string_view line) { lines_.emplace_back(line); });
    EXPECT_OK(child);
    return child.ok() ? *std::move(child) : nullptr;
  }
  // Until the child said something more.
  void AwaitLine(ChildProcess& child) {
    const size_t before = lines_.size();
    EXPECT_TRUE(testing::Eventually([&] {
      return lines_.size() != before || child.Wait(Duration(20), {}) != Event::kTimePassed;
    }));
  }
  std::vector<std::string> lines_;
};

TEST_F(ChildProcessTest, RunsWithItsOwnArgumentsAndEnvironment) {
  const auto child = Shell("echo $WORD; echo ${HOME-none} >&2; printf unfinished; exit 3");
  EXPECT_EQ(child->Wait(kLong, {}), Event::kEnded);
  EXPECT_EQ(child->ending(), "exit status 3");
  EXPECT_THAT(lines_, ElementsAre("hello", "none", "unfinished"));
  EXPECT_EQ(child->Wait(kLong, {}), Event::kEnded);
}

TEST_F(ChildProcessTest, OutputIsBoundedAndPrintable) {
  const auto child = Shell("printf 'a\\033[31mb\\n'; head -c 100000 /dev/zero | tr '\\0' x");
  EXPECT_EQ(child->Wait(kLong, {}), Event::kEnded);
  EXPECT_THAT(lines_, ElementsAre("a?[31mb", std::string(ChildProcess::kMaxLine, 'x')));
}

TEST_F(ChildProcessTest, OneThatNeverStopsTalkingIsLookedAtInTime) {
  const auto child = Shell("while :; do echo x; done");
  EXPECT_EQ(child->Wait(Duration(20), {}), Event::kTimePassed);
  EXPECT_EQ(child->Wait(Duration(20), {}), Event::kTimePassed);
}

TEST_F(ChildProcessTest, RunsInTheFolderThatItIsGiven) {
  const testing::TempDir dir;
  const auto start = [&](const fs::path& folder) {
    return ChildProcess::Start({"/bin/sh", {"-c", "pwd; exit 4"}, {}, folder},
                               [this](std::string_view line) { lines_.emplace_back(line); });
  };
  const auto child = start(dir.path());
  ASSERT_OK(child);
  EXPECT_EQ((*child)->exit_status(), std::nullopt);
  EXPECT_EQ((*child)->Wait(kLong, {}), Event::kEnded);
  EXPECT_EQ((*child)->exit_status(), 4);
  EXPECT_THAT(lines_, ElementsAre(fs::canonical(dir.path()).string()));
  EXPECT_ERROR(start(dir.path() / "none"), kNotFound, "/bin/sh");
}

TEST_F(ChildProcessTest, TellsBySignalWhatEndedIt) {
  const auto child = Shell("echo up; exec sleep 1000");
  AwaitLine(*child);
  ::kill(child->pid(), SIGKILL);
  EXPECT_EQ(child->Wait(kLong, {}), Event::kEnded);
  EXPECT_EQ(child->ending(), "signal 9 (Killed)");
}

TEST_F(ChildProcessTest, WaitingEndsWithTheTimeOrAStop) {
  const auto child = Shell("exec sleep 1000");
  EXPECT_EQ(child->Wait(Duration(1), {}), Event::kTimePassed);
  std::stop_source stop;
  std::jthread stopper([&] { stop.request_stop(); });
  EXPECT_EQ(child->Wait(std::nullopt, stop.get_token()), Event::kStopped);
}

TEST_F(ChildProcessTest, TerminateAsksFirst) {
  const auto child = Shell("trap 'echo bye; exit 0' TERM; echo up; sleep 1000 & wait");
  AwaitLine(*child);
  child->Terminate(kLong);
  EXPECT_EQ(child->ending(), "exit status 0");
  EXPECT_THAT(lines_, ElementsAre("up", "bye"));
}

TEST_F(ChildProcessTest, TerminateKillsWhoDoesNotListen) {
  const auto child = Shell("trap '' TERM; echo up; while :; do sleep 0.01; done");
  AwaitLine(*child);
  child->Terminate(Duration(1));
  EXPECT_EQ(child->ending(), "signal 9 (Killed)");
}

TEST_F(ChildProcessTest, ItsGroupEndsWithIt) {
  const auto child = Shell("sleep 1000 & echo $!; exit 0");
  EXPECT_EQ(child->Wait(kLong, {}), Event::kEnded);
  ASSERT_EQ(lines_.size(), 1u);
  // Gone, or a corpse that its new parent has not buried yet.
  const pid_t left = std::stoi(lines_[0]);
  const auto gone = [left] {
    std::ifstream stat(fmt::format("/proc/{}/stat", left));
    std::string line;
    return !std::getline(stat, line) || line.find(") Z") != std::string::npos;
  };
  EXPECT_TRUE(testing::Eventually(gone));
}

TEST_F(ChildProcessTest, DiesWithTheThreadThatStartedIt) {
  std::unique_ptr<ChildProcess> child;
  std::thread([&] { child = Shell("exec sleep 1000"); }).join();
  EXPECT_EQ(child->Wait(kLong, {}), Event::kEnded);
  EXPECT_EQ(child->ending(), "signal 9 (Killed)");
}

TEST_F(ChildProcessTest, TellsItsMemory) {
  const auto child = Shell("x=$(head -c 5000000 /dev/zero | tr '\\0' x); echo up; sleep 1000");
  AwaitLine(*child);
  EXPECT_GE(child->memory_bytes(), 5'000'000u);
  EXPECT_LT(child->memory_bytes(), 400'000'000u);
}

TEST_F(ChildProcessTest, WhatCannotBeExecutedIsAnError) {
  const auto none = ChildProcess::Start({"/nonexistent/program", {}, {}}, [](std::string_view) {});
  EXPECT_ERROR(none, kNotFound, "starting /nonexistent/program");
  EXPECT_FALSE(ChildProcess::Start({"/etc/hostname", {}, {}}, [](std::string_view) {}).ok());
}

}  // namespace
}  // namespace quantfleet::agent
