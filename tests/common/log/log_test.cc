#include "common/log/log.h"

#include <gtest/gtest.h>
#include <spdlog/logger.h>
#include <spdlog/sinks/ostream_sink.h>

#include <functional>
#include <sstream>
#include <string>

namespace quantfleet {
namespace {

TEST(Log, WhatIsLoggedNeitherSteersATerminalNorMakesLines) {
  std::ostringstream out;
  spdlog::logger logger("test", std::make_shared<spdlog::sinks::ostream_sink_mt>(out));
  SetShownPattern(logger, "%l %v");
  logger.info("tensor {}", "\x1b[2J\nerror forged\xff");
  EXPECT_EQ(out.str(), "info tensor \\x1b[2J\\nerror forged\\xff\n");
}

std::string Lines(LogFormat format, const std::function<void(spdlog::logger&)>& log) {
  std::ostringstream out;
  spdlog::logger logger("test", std::make_shared<spdlog::sinks::ostream_sink_mt>(out));
  SetShownPattern(logger, "%l %v", format);
  log(logger);
  return out.str();
}

const Event kHostile{"device",
                     {{"device", "devices/d-1"},
                      {"name", "x\nlevel=error \"y\\\x01\x02state\x03OK\x1b"},
                      {"nothing", ""}}};

TEST(Log, AnEventIsOneLineWhateverItsValuesHold) {
  EXPECT_EQ(Lines(LogFormat::kText, [](auto& logger) { LogEventTo(logger, kHostile); }),
            "info device device=devices/d-1 "
            "name=\"x\\\\nlevel=error \\\"y\\\\\\\\x01\\\\x02state\\\\x03OK\\\\x1b\"\n");
}

TEST(Log, JsonIsOneObjectALine) {
  const std::string event =
      Lines(LogFormat::kJson, [](auto& logger) { LogEventTo(logger, kHostile); });
  EXPECT_TRUE(event.starts_with("{\"time\":\"2")) << event;
  EXPECT_TRUE(event.ends_with(
      "Z\",\"level\":\"info\",\"event\":\"device\",\"device\":\"devices/d-1\",\"name\":"
      "\"x\\\\nlevel=error \\\"y\\\\\\\\x01\\\\x02state\\\\x03OK\\\\x1b\"}\n"))
      << event;
  const std::string message =
      Lines(LogFormat::kJson, [](auto& logger) { logger.warn("a \"b\"\n{}", "\xff"); });
  EXPECT_TRUE(message.ends_with("\"level\":\"warning\",\"message\":\"a \\\"b\\\"\\\\n\\\\xff\"}\n"))
      << message;
}

}  // namespace
}  // namespace quantfleet
