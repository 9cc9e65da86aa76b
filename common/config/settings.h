// What a program can be configured with, as one table: a row gives a setting's flag, its key in a
// configuration file, its environment variable, the values that it accepts, its default, and what
// it is for. Flags, --help, the environment and the file (file/) all use that table, so that a new
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

// The values that a setting accepts, and where they go. What `put` gets is within the range; an
// error of its own is shown to people as it is.
struct Text {
  std::function<absl::Status(const std::string&)> put;
  bool is_file = false;   // must exist when a flag or the environment names it
  bool required = false;  // in a file; and must not be empty
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

// Where a value goes that needs no conversion. `out` outlives the table.
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
  std::string fallback = {};  // the default, as --help shows it
  std::string type = {};      // what --help calls the value; empty: TEXT, INT or FLOAT
  // How earlier versions spelled flag and key: still read, but not shown.
  struct Spelling {
    std::string flag, key;
  };
  std::vector<Spelling> earlier = {};
};
using Settings = std::vector<Setting>;

// What flags and the environment said, kept until it is put over what the file said.
class Given {
 public:
  // Puts all of it, in the order of the table; returns the first error. A value of "" counts as not
  // given.
  absl::Status Apply() const;

 private:
  friend Given AddFlags(const Settings& settings, CLI::App& app, bool fallback_in_help);
  using Puts = std::vector<std::function<absl::Status()>>;
  std::shared_ptr<Puts> puts_ = std::make_shared<Puts>();
};

// Adds the flags of all rows that have one. When `app` parses, CLI11 checks ranges and files and
// words the errors. `fallback_in_help`: the default follows the help, in brackets; else it follows
// the type, as CLI11 shows defaults.
Given AddFlags(const Settings& settings, CLI::App& app, bool fallback_in_help);

}  // namespace quantfleet::config
