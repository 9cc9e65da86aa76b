// The settings of `quantfleet-agent enroll` and `start`, and their tables. Plain values.
#pragma once

#include <string>
#include <vector>

#include "agent/provision.h"
#include "common/config/settings.h"

namespace quantfleet::agent {

struct FactOptions {
  std::string file;
  std::vector<std::string> facts;
};

struct EnrollOptions {
  std::string state;
  Provisioning given;
  bool no_wait = false;
  FactOptions facts;
};

struct StartOptions {
  std::string state;
  std::string listen = "127.0.0.1:0";
  bool plain_chat = false;
  bool once = false;
  int threads = 0;
  int min_download_rate = 1024;  // bytes per second
  std::vector<std::string> runtimes;
  int runtime_disk_mib = 1024;
  Provisioning given;
  FactOptions facts;
};

// The fields' initial values are the defaults. What is read goes to `to`, which outlives the table.
config::Settings SettingsOf(EnrollOptions& to);
config::Settings SettingsOf(StartOptions& to);
// --state, for every command on a fleet. `to` becomes the default folder.
config::Setting StateSetting(std::string& to);

}  // namespace quantfleet::agent
