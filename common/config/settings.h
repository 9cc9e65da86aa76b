// What a program can be told, as one table: a row says of one setting its flag, its key in a
// configuration file, its environment variable, what it takes, what holds without it, and what it
// is for. Flags, --help, the environment and the file (file/) are read by that table, so that a new
// setting is one row. Plain values; not thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

#include "common/base/file.h"
#include "common/base/status.h"

namespace CLI {
class App;
}

namespace quantfleet::config {

// What a setting takes, and where it goes. What `put` gets is within the range; its own error is
// shown to people as it is.
struct Text {
  std::function<absl::Status(const std::string&)> put;
  bool is_file = false;   // has to exist, where a flag or the environment names it
  bool required = false;  // in a file, and not empty
};
struct Whole {
  std::function<void(int64_t)> put;
  int64_t least, most;
};
struct Number {
  std::function<void(double)> put;
  double least, most;
};
struct Switch {  // a flag without a value; true or false in a file
  std::function<void(bool)> put;
};
struct Texts {  // a flag that may be given again; a list in a file
  std::function<void(std::vector<std::string>)> put;
};
using Value = std::variant<Text, Whole, Number, Switch, Texts>;

// Where it goes when nothing is to be done with it. `out` outlives the table.
Text Into(std::string& out);
Text Into(fs::path& out);
Text FileInto(fs::path& out);
Text RequiredInto(fs::path& out);
Switch Into(bool& out);
Texts Into(std::vector<std::string>& out);
template <class Integer>
  requires std::is_integral_v<Integer>
Whole Into(Integer& out, int64_t least, int64_t most) {
  return {[&out](int64_t value) { out = static_cast<Integer>(value); }, least, most};
}

struct Setting {
  std::string flag;           // "--check-in"; empty: none
  std::string key = {};       // "check_in_seconds", "enrollment.queue"; empty: none
  std::string variable = {};  // "QUANTFLEET_SERVER"; empty: none
  Value value;
  std::string help;
  std::string fallback = {};  // what holds where nothing is said, as --help shows it
  std::string type = {};      // what --help calls the value; empty: TEXT, INT or FLOAT
  // As earlier versions spell flag and key: read, and not shown.
  struct Spelling {
    std::string flag, key;
  };
  std::vector<Spelling> earlier = {};
};
using Settings = std::vector<Setting>;

// What flags and environment said, kept until it may win over the file.
class Given {
 public:
  // Puts all of it, in the order of the table; the first error. What is given as "" counts as not
  // given.
  absl::Status Apply() const;

 private:
  friend Given AddFlags(const Settings& settings, CLI::App& app, bool fallback_in_help);
  using Puts = std::vector<std::function<absl::Status()>>;
  std::shared_ptr<Puts> puts_ = std::make_shared<Puts>();
};

// Adds the flags of all rows that have one. They are checked when `app` parses, against range and
// files, by CLI11 and in its words. `fallback_in_help`: the fallback stands behind the help, in
// brackets; else behind the type, as CLI11 shows defaults.
Given AddFlags(const Settings& settings, CLI::App& app, bool fallback_in_help);

}  // namespace quantfleet::config
