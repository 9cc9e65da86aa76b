// The configuration of quantfleetd: flags, or a TOML file with the same settings. Plain values, and
// the one table that says how each is read.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/file.h"
#include "common/base/status.h"
#include "common/config/settings.h"

namespace quantfleet::daemon {

struct HostPort {
  std::string host;
  uint16_t port = 0;  // 0: any free one
};
// "HOST:PORT", with an IPv6 host in brackets.
absl::StatusOr<HostPort> ParseHostPort(std::string_view text);
std::string ToString(const HostPort& address);

inline constexpr int64_t kMaxQueue = 4096;  // of enrollment_queue

struct Config {
  fs::path data = "quantfleet-data";
  HostPort listen{"127.0.0.1", 7443};
  HostPort http{"127.0.0.1", 7444};
  HostPort fleet_listen;           // of devices with a certificate alone; no host: there is none
  std::vector<std::string> names;  // by which clients reach it, beside those it knows; no ports
  std::chrono::milliseconds check_in{30'000};
  std::chrono::hours certificate_lifetime{7 * 24};  // of devices
  uint64_t enrollment_queue = 0;    // devices that nothing admits and that may wait; 0: refused
  fs::path enrollment_ca;           // PEM: CAs whose certificates admit devices; empty: none
  uint64_t memory_mib = 512;        // in flight of one job
  int threads = 0;                  // of jobs; 0: one per core
  int64_t evaluation_tokens = 256;  // of the evaluation text; 0: artifacts are not measured
  fs::path evaluation_text;         // a file; empty: the shipped one
  std::vector<std::string> golden_prompts;  // empty: the shipped ones
  fs::path calibration_texts;               // a folder; empty: calibration-texts in the data folder
  int64_t scrub_hours = 7 * 24;        // from the end of a scrub to the next; 0: only by command
  uint64_t scrub_mib_per_second = 32;  // 0: as fast as the disk
  std::chrono::hours operator_certificate_lifetime{24};
  int64_t audit_days = 400;  // that entries are kept; 0: for good
  std::string log_level = "info";
  std::string log_format = "text";  // or "json"
};

// A row for each setting; what is read goes to `to`, which outlives it.
config::Settings SettingsOf(Config& to);

// Strict, as for device classes: the error names line and key.
absl::StatusOr<Config> ParseConfig(std::string_view toml);

}  // namespace quantfleet::daemon
