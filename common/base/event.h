// Something that happened, for a log: what, and named values, mostly names of resources, by which
// one line leads to the next. The log (common/log) decides how it looks.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace quantfleet {

struct Event {
  std::string_view what;  // "job", "rollout", "device", "enrollment", "call"
  // In order; names are [a-z_]+, values whatever came from outside, empty ones left out.
  std::vector<std::pair<std::string_view, std::string>> values;
};
using EventLog = std::function<void(const Event&)>;

}  // namespace quantfleet
