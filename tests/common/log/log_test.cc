#include "common/log/log.h"

#include <gtest/gtest.h>
#include <spdlog/logger.h>
#include <spdlog/sinks/ostream_sink.h>

#include <sstream>

namespace quantfleet {
namespace {

TEST(Log, WhatIsLoggedNeitherSteersATerminalNorMakesLines) {
  std::ostringstream out;
  spdlog::logger logger("test", std::make_shared<spdlog::sinks::ostream_sink_mt>(out));
  SetShownPattern(logger, "%l %v");
  logger.info("tensor {}", "\x1b[2J\nerror forged\xff");
  EXPECT_EQ(out.str(), "info tensor \\x1b[2J\\nerror forged\\xff\n");
}

}  // namespace
}  // namespace quantfleet
