#include "agent/self/trial.h"

#include <gmock/gmock.h>

#include <fstream>

#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace quantfleet::agent {
namespace {

class TrialTest : public ::testing::Test {
 protected:
  absl::Status Try(const std::string& script, std::stop_token stop = {}) {
    const fs::path program = dir_ / "agent";
    std::ofstream(program) << script;
    fs::permissions(program, fs::perms::owner_all);
    return RunTrial(program, dir_.path(), HashText("release"), "2.0.0", stop);
  }
  const testing::TempDir dir_;
};

TEST_F(TrialTest, CountsWhenItEndsWellAndSaysTheVersion) {
  EXPECT_OK(Try("#!/bin/sh\necho something before\necho 2.0.0\n"));
  EXPECT_ERROR(Try("#!/bin/sh\necho 1.0.0\n"), kInternal, "\"1.0.0\"", "\"2.0.0\"");
  EXPECT_ERROR(Try("#!/bin/sh\nexit 0\n"), kInternal, "\"\"", "\"2.0.0\"");
}

TEST_F(TrialTest, TellsItsLastWordsWhenItDoesNot) {
  EXPECT_ERROR(Try("#!/bin/sh\necho 2.0.0\necho no daemon >&2\nexit 1\n"), kInternal,
               "exit status 1", "no daemon");
  EXPECT_ERROR(Try("#!/bin/sh\nkill -9 $$\n"), kInternal, "signal 9");
  EXPECT_ERROR(Try("\x7f"
                   "ELF and nothing else"),
               kInternal, "trial: starting");
}

TEST_F(TrialTest, IsToldWhatItIsToShow) {
  EXPECT_OK(Try("#!/bin/sh\n[ \"$1 $2 $3 $4 $5\" = \"trial --state " + dir_.path().string() +
                " --manifest " + HashText("release").hex() + "\" ] && echo 2.0.0\n"));
}

TEST_F(TrialTest, StoppingSaysNothingAboutTheProgram) {
  std::stop_source stop;
  stop.request_stop();
  EXPECT_ERROR(Try("#!/bin/sh\nexec sleep 1000\n", stop.get_token()), kCancelled, "");
}

}  // namespace
}  // namespace quantfleet::agent
