// The programs' logs: spdlog, to stderr, a line per message. What a message says is shown as
// outside_text.h has it, so that a file's or a device's words can neither steer a terminal nor make
// lines of their own.
#pragma once

#include <memory>
#include <string>

namespace spdlog {
class logger;
}

namespace quantfleet {

// `pattern`: spdlog's, in which %v is the message.
void StartLogging(const std::string& name, const std::string& pattern);

// Sets the pattern of a logger so that it does the same; for tests of it.
void SetShownPattern(spdlog::logger& logger, const std::string& pattern);

}  // namespace quantfleet
