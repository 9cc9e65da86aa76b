// What `quantfleet-agent enroll` and `start` can be told, and the tables that say how. Plain
// values.
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
  bool once = false;
  int threads = 0;
  int min_download_rate = 1024;  // bytes per second
  std::vector<std::string> runtimes;
  Provisioning given;
  FactOptions facts;
};

// Their fields begin with what holds where nothing is said. What is read goes to `to`, which
// outlives the table.
config::Settings SettingsOf(EnrollOptions& to);
config::Settings SettingsOf(StartOptions& to);
// --state, of every command on a fleet. `to` becomes the folder that holds without it.
config::Setting StateSetting(std::string& to);

}  // namespace quantfleet::agent
