#include "agent/self/trial.h"

#include <gmock/gmock.h>

#include <fstream>

#include "tests/agent/verdict_matchers.h"
#include "tests/support/temp_dir.h"

namespace quantfleet::agent {
namespace {

class TrialTest : public ::testing::Test {
 protected:
  Verdict Try(const std::string& script, std::stop_token stop = {}) {
    const fs::path program = dir_ / "agent";
    std::ofstream(program) << script;
    fs::permissions(program, fs::perms::owner_all);
    return RunTrial(program, dir_.path(), HashText("release"), "2.0.0", stop);
  }
  const testing::TempDir dir_;
};

TEST_F(TrialTest, CountsWhenItEndsWellAndSaysTheVersion) {
  EXPECT_CAME_OFF(Try("#!/bin/sh\necho something before\necho 2.0.0\n"));
  EXPECT_SETBACK(Try("#!/bin/sh\necho 1.0.0\n"), kHealthFailed, "\"1.0.0\"", "\"2.0.0\"");
  EXPECT_SETBACK(Try("#!/bin/sh\nexit 0\n"), kHealthFailed, "\"\"", "\"2.0.0\"");
}

TEST_F(TrialTest, TellsItsLastWordsWhenItDoesNot) {
  EXPECT_SETBACK(Try("#!/bin/sh\necho 2.0.0\necho no daemon >&2\nexit 1\n"), kHealthFailed,
                 "exit status 1", "no daemon");
  EXPECT_SETBACK(Try("#!/bin/sh\nkill -9 $$\n"), kHealthFailed, "signal 9");
  EXPECT_SETBACK(Try("\x7f"
                     "ELF and nothing else"),
                 kHealthFailed, "trial: starting");
}

TEST_F(TrialTest, IsToldWhatItIsToShow) {
  EXPECT_CAME_OFF(Try("#!/bin/sh\n[ \"$1 $2 $3 $4 $5\" = \"trial --state " + dir_.path().string() +
                      " --manifest " + HashText("release").hex() + "\" ] && echo 2.0.0\n"));
}

TEST_F(TrialTest, StoppingSaysNothingAboutTheProgram) {
  std::stop_source stop;
  stop.request_stop();
  EXPECT_SETBACK(Try("#!/bin/sh\nexec sleep 1000\n", stop.get_token()), kInterrupted, "");
}

}  // namespace
}  // namespace quantfleet::agent
