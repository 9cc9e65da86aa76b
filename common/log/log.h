// The programs' logs: spdlog, to stderr, a line per message or event. Whatever comes from outside
// is shown as outside_text.h has it, so that a file's or a device's words can neither steer a
// terminal nor make lines, values or JSON of their own.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/event.h"

namespace spdlog {
class logger;
}

namespace quantfleet {

enum class LogFormat { kText, kJson };
std::optional<LogFormat> LogFormatNamed(std::string_view name);  // "text", "json"

// `pattern`: spdlog's, in which %v is the message; JSON has its own.
void StartLogging(const std::string& name, const std::string& pattern,
                  LogFormat format = LogFormat::kText);

// A line of the level info: "rollout rollout=rollouts/1 state=RUNNING", values with blanks in
// quotes; in JSON {"time":"..","level":"info","event":"rollout","rollout":"rollouts/1",..}.
void LogEvent(const Event& event);

// Sets the form of a logger's lines so that it does the same; for tests of it.
void SetShownPattern(spdlog::logger& logger, const std::string& pattern,
                     LogFormat format = LogFormat::kText);
// What LogEvent does, to that logger.
void LogEventTo(spdlog::logger& logger, const Event& event);

}  // namespace quantfleet
