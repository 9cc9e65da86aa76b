#include "common/log/log.h"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "common/base/outside_text.h"

namespace quantfleet {
namespace {

constexpr size_t kMaxLine = 8192, kMaxValue = 2048;
// An event's payload is told from a message by where it claims to come from.
constexpr spdlog::source_loc kEvent{"event", 1, ""};
// Between its parts: nothing that is shown contains these.
constexpr char kBetween = '\x02', kIs = '\x03';

std::string InQuotes(std::string_view shown) {
  std::string text = "\"";
  for (const char c : shown) {
    if (c == '"' || c == '\\') text += '\\';
    text += c;
  }
  return text + '"';
}

// A value as it stands behind its name: in quotes where something could be taken for another one.
std::string PlainValue(std::string_view shown) {
  const bool plain = !shown.empty() && shown.find_first_of(" \"=\\\t") == std::string_view::npos;
  return plain ? std::string(shown) : InQuotes(shown);
}

// An event travels through spdlog as one payload: its parts, shown.
std::string Payload(const Event& event) {
  std::string payload(event.what);
  for (const auto& [name, value] : event.values) {
    if (value.empty()) continue;
    payload += kBetween;
    payload += name;
    payload += kIs;
    payload += Shown(value, kMaxValue);
  }
  return payload;
}

template <typename OnValue>
std::string_view Read(std::string_view payload, const OnValue& on_value) {
  const size_t first = std::min(payload.find(kBetween), payload.size());
  const std::string_view what = payload.substr(0, first);
  payload.remove_prefix(first);
  while (!payload.empty()) {
    payload.remove_prefix(1);
    const size_t end = std::min(payload.find(kBetween), payload.size());
    const std::string_view value = payload.substr(0, end);
    const size_t is = value.find(kIs);
    on_value(value.substr(0, is), value.substr(is + 1));
    payload.remove_prefix(end);
  }
  return what;
}

bool IsEvent(const spdlog::details::log_msg& message) {
  return message.source.filename == kEvent.filename;
}

class ShownMessage final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&,
              spdlog::memory_buf_t& line) override {
    const std::string_view payload(message.payload.data(), message.payload.size());
    std::string shown;
    if (IsEvent(message)) {
      std::string values;
      shown = Read(payload, [&](std::string_view name, std::string_view value) {
        values += fmt::format(" {}={}", name, PlainValue(value));
      });
      shown += values;
    } else {
      shown = Shown(payload, kMaxLine);
    }
    line.append(shown.data(), shown.data() + shown.size());
  }
  std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<ShownMessage>();
  }
};

// Behind the time and the level: the other members of the object.
class JsonMembers final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&,
              spdlog::memory_buf_t& line) override {
    const std::string_view payload(message.payload.data(), message.payload.size());
    std::string members;
    if (IsEvent(message)) {
      std::string values;
      const std::string_view what =
          Read(payload, [&](std::string_view name, std::string_view value) {
            values += fmt::format(",\"{}\":{}", name, InQuotes(value));
          });
      members = fmt::format("\"event\":{}{}", InQuotes(what), values);
    } else {
      members = "\"message\":" + InQuotes(Shown(payload, kMaxLine));
    }
    line.append(members.data(), members.data() + members.size());
  }
  std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<JsonMembers>();
  }
};

constexpr const char* kJsonPattern = R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l",%*})";

}  // namespace

std::optional<LogFormat> LogFormatNamed(std::string_view name) {
  if (name == "text") return LogFormat::kText;
  if (name == "json") return LogFormat::kJson;
  return std::nullopt;
}

void SetShownPattern(spdlog::logger& logger, const std::string& pattern, LogFormat format) {
  std::unique_ptr<spdlog::pattern_formatter> formatter;
  if (format == LogFormat::kJson) {
    formatter = std::make_unique<spdlog::pattern_formatter>(spdlog::pattern_time_type::utc);
    formatter->add_flag<JsonMembers>('*').set_pattern(kJsonPattern);
  } else {
    formatter = std::make_unique<spdlog::pattern_formatter>();
    formatter->add_flag<ShownMessage>('v').set_pattern(pattern);
  }
  logger.set_formatter(std::move(formatter));
}

void StartLogging(const std::string& name, const std::string& pattern, LogFormat format) {
  auto logger = spdlog::stderr_logger_mt(name);
  SetShownPattern(*logger, pattern, format);
  spdlog::set_default_logger(std::move(logger));
}

void LogEventTo(spdlog::logger& logger, const Event& event) {
  logger.log(kEvent, spdlog::level::info, "{}", Payload(event));
}

void LogEvent(const Event& event) { LogEventTo(*spdlog::default_logger(), event); }

}  // namespace quantfleet
