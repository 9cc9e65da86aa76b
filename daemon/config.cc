#include "daemon/config.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "common/toml/toml_reader.h"

namespace quantfleet::daemon {

absl::StatusOr<HostPort> ParseHostPort(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos)
    return InvalidArgument("'{}' is no address: give HOST:PORT", text);
  std::string_view host = text.substr(0, colon);
  const std::string_view port_text = text.substr(colon + 1);
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return InvalidArgument("'{}' is no address: put an IPv6 host in brackets", text);
  }
  uint16_t port = 0;
  const auto result = std::from_chars(port_text.data(), port_text.data() + port_text.size(), port);
  if (host.empty() || port_text.empty() || result.ec != std::errc() ||
      result.ptr != port_text.data() + port_text.size())
    return InvalidArgument("'{}' is no address: give HOST:PORT, with a port from 0 (any) to 65535",
                           text);
  return HostPort{std::string(host), port};
}

std::string ToString(const HostPort& address) {
  const bool v6 = address.host.find(':') != std::string::npos;
  return v6 ? fmt::format("[{}]:{}", address.host, address.port)
            : fmt::format("{}:{}", address.host, address.port);
}

absl::Status CheckLogLevel(std::string_view level) {
  constexpr std::array<std::string_view, 5> levels = {"debug", "info", "warning", "error", "off"};
  if (std::ranges::find(levels, level) != levels.end()) return absl::OkStatus();
  return InvalidArgument("log level '{}' is none of debug, info, warning, error, off", level);
}

absl::StatusOr<Config> ParseConfig(std::string_view toml) {
  QF_ASSIGN_OR_RETURN(TomlReader reader, TomlReader::Parse(toml));
  Config config;
  std::string data = config.data.string(), listen = ToString(config.listen),
              http = ToString(config.http);
  double check_in = std::chrono::duration<double>(config.check_in).count();
  int64_t lifetime = config.certificate_lifetime.count(),
          memory = static_cast<int64_t>(config.memory_mib), threads = 0;
  reader.Require("data", data);
  reader.Read("listen", listen);
  reader.Read("http", http);
  reader.Read("check_in_seconds", check_in, 0.1, 86'400.0);
  reader.Read("certificate_lifetime_hours", lifetime, 1, 366 * 24);
  int64_t queue = 0;
  std::string enrollment_ca;
  reader.Read("enrolment.queue", queue, 0, kMaxQueue);  // as 0.1 spells them; to go with 0.3
  reader.Read("enrolment.ca", enrollment_ca);
  reader.Read("enrollment.queue", queue, 0, kMaxQueue);
  reader.Read("enrollment.ca", enrollment_ca);
  reader.Read("memory_mib", memory, 16, 1 << 20);
  reader.Read("threads", threads, 0, 4096);
  std::string evaluation_text;
  reader.Read("log_level", config.log_level);
  reader.Read("evaluation.tokens", config.evaluation_tokens, 0, 1 << 20);
  reader.Read("evaluation.text", evaluation_text);
  reader.Read("evaluation.prompts", config.golden_prompts);
  QF_RETURN_IF_ERROR(reader.Finish());
  config.data = data;
  config.evaluation_text = evaluation_text;
  QF_ASSIGN_OR_RETURN(config.listen, ParseHostPort(listen));
  QF_ASSIGN_OR_RETURN(config.http, ParseHostPort(http));
  config.check_in = std::chrono::milliseconds(static_cast<int64_t>(check_in * 1000));
  config.certificate_lifetime = std::chrono::hours(lifetime);
  config.enrollment_queue = static_cast<uint64_t>(queue);
  config.enrollment_ca = enrollment_ca;
  config.memory_mib = static_cast<uint64_t>(memory);
  config.threads = static_cast<int>(threads);
  QF_RETURN_IF_ERROR(CheckLogLevel(config.log_level));
  return config;
}

}  // namespace quantfleet::daemon
