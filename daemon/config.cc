#include "daemon/config.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "common/config/file/read_toml.h"
#include "common/log/log.h"

namespace quantfleet::daemon {

absl::StatusOr<HostPort> ParseHostPort(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos)
    return InvalidArgument("'{}' is not an address: write HOST:PORT", text);
  std::string_view host = text.substr(0, colon);
  const std::string_view port_text = text.substr(colon + 1);
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return InvalidArgument("'{}' is not an address: put an IPv6 host in brackets", text);
  }
  uint16_t port = 0;
  const auto result = std::from_chars(port_text.data(), port_text.data() + port_text.size(), port);
  if (host.empty() || port_text.empty() || result.ec != std::errc() ||
      result.ptr != port_text.data() + port_text.size())
    return InvalidArgument(
        "'{}' is not an address: write HOST:PORT, with a port from 0 (any free port) to 65535",
        text);
  return HostPort{std::string(host), port};
}

std::string ToString(const HostPort& address) {
  const bool v6 = address.host.find(':') != std::string::npos;
  return v6 ? fmt::format("[{}]:{}", address.host, address.port)
            : fmt::format("{}:{}", address.host, address.port);
}

namespace {

config::Text AddressInto(HostPort& out) {
  return {[&out](const std::string& text) -> absl::Status {
    QF_ASSIGN_OR_RETURN(out, ParseHostPort(text));
    return absl::OkStatus();
  }};
}

config::Text LogLevelInto(std::string& out) {
  return {[&out](const std::string& level) -> absl::Status {
    constexpr std::array<std::string_view, 5> levels = {"debug", "info", "warning", "error", "off"};
    if (std::ranges::find(levels, level) == levels.end())
      return InvalidArgument("log level '{}' is not one of debug, info, warning, error, off",
                             level);
    out = level;
    return absl::OkStatus();
  }};
}

config::Text LogFormatInto(std::string& out) {
  return {[&out](const std::string& format) -> absl::Status {
    if (!LogFormatNamed(format))
      return InvalidArgument("log format '{}' is not one of text, json", format);
    out = format;
    return absl::OkStatus();
  }};
}

config::Number SecondsInto(std::chrono::milliseconds& out, double least, double most) {
  return {[&out](double seconds) {
            out = std::chrono::milliseconds(static_cast<int64_t>(seconds * 1000));
          },
          least, most};
}

config::Whole HoursInto(std::chrono::hours& out, int64_t least, int64_t most) {
  return {[&out](int64_t hours) { out = std::chrono::hours(hours); }, least, most};
}

}  // namespace

config::Settings SettingsOf(Config& to) {
  using config::Into;
  return {
      {.flag = "--data",
       .key = "data",
       .value = config::RequiredInto(to.data),
       .help = "Folder for state, keys and blobs",
       .fallback = "./quantfleet-data"},
      {.flag = "--listen",
       .key = "listen",
       .value = AddressInto(to.listen),
       .help = "gRPC address, HOST:PORT; port 0 takes any free port",
       .fallback = "127.0.0.1:7443"},
      {.flag = "--http",
       .key = "http",
       .value = AddressInto(to.http),
       .help = "HTTPS address, HOST:PORT; port 0 takes any free port",
       .fallback = "127.0.0.1:7444"},
      {.flag = "--fleet-listen",
       .key = "fleet_listen",
       .value = AddressInto(to.fleet_listen),
       .help = "Another gRPC address, HOST:PORT, that refuses connections without a client "
               "certificate; devices are told to use it",
       .fallback = "none"},
      {.flag = "--name",
       .key = "names",
       .value = Into(to.names),
       .help = "A host name or IP address by which clients reach the daemon, for the server's "
               "certificate; may be repeated. This machine's name, localhost and the addresses "
               "above are in it anyway",
       .fallback = "none"},
      {.flag = "--check-in",
       .key = "check_in_seconds",
       .value = SecondsInto(to.check_in, 0.1, 86'400.0),
       .help = "Seconds between a device's check-ins",
       .fallback = "2 with --dev, otherwise 30"},
      {.flag = "",
       .key = "certificate_lifetime_hours",
       .value = HoursInto(to.certificate_lifetime, 1, 366 * 24),
       .help = "Lifetime of devices' certificates, in hours",
       .fallback = "168"},
      {.flag = "--enrollment-queue",
       .key = "enrollment.queue",
       .value = Into(to.enrollment_queue, 0, kMaxQueue),
       .help = "Maximum number of unknown devices that may wait for an operator; 0: they are "
               "refused",
       .fallback = "0",
       .earlier = {{"--enrolment-queue", "enrolment.queue"}}},  // as 0.1 spells it; to go with 0.3
      {.flag = "--enrollment-ca",
       .key = "enrollment.ca",
       .value = config::FileInto(to.enrollment_ca),
       .help = "PEM file of CAs whose certificates admit devices",
       .fallback = "none",
       .earlier = {{"--enrolment-ca", "enrolment.ca"}}},  // as 0.1 spells it; to go with 0.3
      {.flag = "--memory",
       .key = "memory_mib",
       .value = Into(to.memory_mib, 16, 1 << 20),
       .help = "Memory budget of one job for data in flight, in MiB",
       .fallback = "512",
       .type = "UINT"},
      {.flag = "--threads",
       .key = "threads",
       .value = Into(to.threads, 0, 4096),
       .help = "Threads of a job",
       .fallback = "0: one per core"},
      {.flag = "--evaluation-tokens",
       .key = "evaluation.tokens",
       .value = Into(to.evaluation_tokens, 0, 1 << 20),
       .help = "Number of tokens of text on which a job measures each artifact; 0: it does not "
               "measure",
       .fallback = "256"},
      {.flag = "--evaluation-text",
       .key = "evaluation.text",
       .value = config::FileInto(to.evaluation_text),
       .help = "File with that text",
       .fallback = "a built-in text"},
      {.flag = "",
       .key = "evaluation.prompts",
       .value = Into(to.golden_prompts),
       .help = "Golden prompts: a list of plain texts",
       .fallback = "three shipped ones"},
      {.flag = "--calibration-texts",
       .key = "calibration_texts",
       .value = Into(to.calibration_texts),
       .help = "Folder of the texts that device classes and jobs may name for calibrating",
       .fallback = "calibration-texts in the data folder"},
      {.flag = "",
       .key = "scrub.every_hours",
       .value = Into(to.scrub_hours, 0, 366 * 24),
       .help = "Hours from one scrub of everything that is stored to the next; 0: only by command",
       .fallback = "168"},
      {.flag = "",
       .key = "scrub.mib_per_second",
       .value = Into(to.scrub_mib_per_second, 0, 1 << 20),
       .help = "How fast a scrub reads, in MiB per second; 0: as fast as the disk",
       .fallback = "32"},
      {.flag = "",
       .key = "operators.certificate_hours",
       .value = HoursInto(to.operator_certificate_lifetime, 1, 366 * 24),
       .help = "Lifetime of operators' certificates, in hours; `quantfleet` renews them by itself",
       .fallback = "24"},
      {.flag = "",
       .key = "audit.keep_days",
       .value = Into(to.audit_days, 0, 36'500),
       .help = "Days after which entries of the audit log are removed; 0: never",
       .fallback = "400"},
      {.flag = "--log-format",
       .key = "log_format",
       .value = LogFormatInto(to.log_format),
       .help = "text or json: a line, or an object, for each message and event",
       .fallback = "text"},
      {.flag = "--log-level",
       .key = "log_level",
       .value = LogLevelInto(to.log_level),
       .help = "debug, info, warning, error or off",
       .fallback = "info"},
  };
}

absl::StatusOr<Config> ParseConfig(std::string_view toml) {
  Config config;
  QF_RETURN_IF_ERROR(config::ReadToml(SettingsOf(config), toml));
  return config;
}

}  // namespace quantfleet::daemon
