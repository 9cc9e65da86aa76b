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
       .help = "as `quantfleet token create` printed it",
       .type = "T"},
      {.flag = "--token-file",
       .variable = "QUANTFLEET_TOKEN_FILE",
       .value = Into(to.token_file),
       .help = "a file that holds the token",
       .type = "FILE"},
      {.flag = "--ca",
       .variable = "QUANTFLEET_CA",
       .value = Into(to.ca),
       .help = "without a token: SHA-256 of the daemon's CA, as `quantfleet status` shows it",
       .type = "HEX"},
      {.flag = "--certificate",
       .value = Into(to.certificate),
       .help = "the device's own, of a CA that the daemon trusts",
       .type = "PEM"},
      {.flag = "--key",
       .value = Into(to.certificate_key),
       .help = "that certificate's key",
       .type = "PEM"},
      {.flag = "--kernel-command-line",
       .value = Into(to.command_line),
       .help = "where quantfleet.server=, quantfleet.token= and quantfleet.ca= are looked for",
       .fallback = to.command_line.string(),
       .type = "FILE"},
  };
}

config::Settings SettingsOf(FactOptions& to) {
  return {
      {.flag = "--facts",
       .value = Into(to.file),
       .help = "JSON of hardware facts that replace those found",
       .type = "FILE"},
      {.flag = "--fact",
       .value = Into(to.facts),
       .help = "one hardware fact that replaces the one found, as in form=iot",
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
                  .help = "fail where an operator has to decide first, in place of waiting"});
  rows.push_back(StateSetting(to.state));
  Append(SettingsOf(to.facts), rows);
  return rows;
}

config::Settings SettingsOf(StartOptions& to) {
  config::Settings rows = {
      StateSetting(to.state),
      {.flag = "--listen",
       .value = Into(to.listen),
       .help = "loopback address of the completion endpoint (port 0: a free one), or unix:PATH",
       .fallback = to.listen,
       .type = "HOST:PORT"},
      {.flag = "--threads",
       .value = Into(to.threads, 0, 1024),
       .help = "of the engine; 0: as many as cores",
       .type = "N"},
      {.flag = "--allow-runtime",
       .value = Into(to.runtimes),
       .help = "a program that a device class may start here to run its models, by this name; may "
               "be given again",
       .type = "NAME=/PATH"},
  };
  Append(SettingsOf(to.given), rows);
  rows.push_back(
      {.flag = "--once",
       .value = Into(to.once),
       .help = "end when the device is up to date: 0 when healthy, 1 when something failed"});
  Append(SettingsOf(to.facts), rows);
  return rows;
}

}  // namespace quantfleet::agent
