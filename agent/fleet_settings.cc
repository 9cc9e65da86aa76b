#include "agent/fleet_settings.h"

#include <iterator>

#include "agent/platform/state_lock.h"

namespace quantfleet::agent {
namespace {

using config::Into;

void Append(config::Settings rows, config::Settings& to) {
  to.insert(to.end(), std::make_move_iterator(rows.begin()), std::make_move_iterator(rows.end()));
}

config::Settings SettingsOf(Provisioning& to) {
  return {
      {.flag = "--server",
       .variable = "QUANTFLEET_SERVER",
       .value = Into(to.server),
       .help = "the daemon's gRPC address",
       .type = "HOST:PORT"},
      {.flag = "--token",
       .variable = "QUANTFLEET_TOKEN",
       .value = Into(to.token),
       .help = "token, as `quantfleet token create` printed it",
       .type = "T"},
      {.flag = "--token-file",
       .variable = "QUANTFLEET_TOKEN_FILE",
       .value = Into(to.token_file),
       .help = "file that contains the token",
       .type = "FILE"},
      {.flag = "--ca",
       .variable = "QUANTFLEET_CA",
       .value = Into(to.ca),
       .help =
           "SHA-256 of the daemon's CA, as shown by `quantfleet status`; needed without a token",
       .type = "HEX"},
      {.flag = "--certificate",
       .value = Into(to.certificate),
       .help = "the device's own certificate, issued by a CA that the daemon trusts",
       .type = "PEM"},
      {.flag = "--key",
       .value = Into(to.certificate_key),
       .help = "key of that certificate",
       .type = "PEM"},
      {.flag = "--kernel-command-line",
       .value = Into(to.command_line),
       .help = "file with quantfleet.server=, quantfleet.token= and quantfleet.ca=",
       .fallback = to.command_line.string(),
       .type = "FILE"},
  };
}

config::Settings SettingsOf(FactOptions& to) {
  return {
      {.flag = "--facts",
       .value = Into(to.file),
       .help = "JSON file of hardware facts that override those found",
       .type = "FILE"},
      {.flag = "--fact",
       .value = Into(to.facts),
       .help = "hardware fact that overrides the one found, such as form=iot; may be repeated",
       .type = "KEY=VALUE"},
  };
}

}  // namespace

config::Setting StateSetting(std::string& to) {
  to = DefaultStateFolder().string();
  return {.flag = "--state",
          .value = Into(to),
          .help = "the agent's folder",
          .fallback = to,
          .type = "DIR"};
}

config::Settings SettingsOf(EnrollOptions& to) {
  config::Settings rows = SettingsOf(to.given);
  rows.push_back({.flag = "--no-wait",
                  .value = Into(to.no_wait),
                  .help = "fail instead of waiting for an operator or a rate limit"});
  rows.push_back(StateSetting(to.state));
  Append(SettingsOf(to.facts), rows);
  return rows;
}

config::Settings SettingsOf(StartOptions& to) {
  config::Settings rows = {
      StateSetting(to.state),
      {.flag = "--listen",
       .value = Into(to.listen),
       .help = "address of the endpoint: loopback HOST:PORT (port 0: any free port) or unix:PATH",
       .fallback = to.listen,
       .type = "HOST:PORT"},
      {.flag = "--plain-chat",
       .value = Into(to.plain_chat),
       .help =
           "answer chats of models that have no chat template: the contents of the messages are "
           "joined as they are"},
      {.flag = "--threads",
       .value = Into(to.threads, 0, 1024),
       .help = "threads of the engine; 0: one per core",
       .type = "N"},
      {.flag = "--min-download-rate",
       .value = Into(to.min_download_rate, 0, 1 << 30),
       .help = "bytes per second: a connection that brings less for half a minute is given up and "
               "made anew, and goes on where it was; 0: never",
       .fallback = std::to_string(to.min_download_rate),
       .type = "N"},
      {.flag = "--allow-runtime",
       .value = Into(to.runtimes),
       .help = "NAME=/PATH of a program that device classes may start under this name to run their "
               "models; may be repeated",
       .type = "NAME=/PATH"},
      {.flag = "--runtime-disk-mib",
       .value = Into(to.runtime_disk_mib, 0, 1 << 30),
       .help = "what each such program may keep on this disk, in MiB; 0: no limit",
       .fallback = std::to_string(to.runtime_disk_mib),
       .type = "N"},
  };
  Append(SettingsOf(to.given), rows);
  rows.push_back(
      {.flag = "--once",
       .value = Into(to.once),
       .help = "exit when the device is up to date: 0 if healthy, 1 if something failed"});
  Append(SettingsOf(to.facts), rows);
  return rows;
}

}  // namespace quantfleet::agent
