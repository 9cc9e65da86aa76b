#include "common/log/log.h"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include "common/base/outside_text.h"

namespace quantfleet {
namespace {

constexpr size_t kMaxLine = 8192;

class ShownMessage final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&,
              spdlog::memory_buf_t& line) override {
    const std::string shown = Shown({message.payload.data(), message.payload.size()}, kMaxLine);
    line.append(shown.data(), shown.data() + shown.size());
  }
  std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<ShownMessage>();
  }
};

}  // namespace

void SetShownPattern(spdlog::logger& logger, const std::string& pattern) {
  auto formatter = std::make_unique<spdlog::pattern_formatter>();
  formatter->add_flag<ShownMessage>('v').set_pattern(pattern);
  logger.set_formatter(std::move(formatter));
}

void StartLogging(const std::string& name, const std::string& pattern) {
  auto logger = spdlog::stderr_logger_mt(name);
  SetShownPattern(*logger, pattern);
  spdlog::set_default_logger(std::move(logger));
}

}  // namespace quantfleet
