// Manual pages (man(7), section 1) of a program and of each of its commands. Pure.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/shell/command_tree.h"

namespace quantfleet::shell {

// A page's file ("quantfleet-job-submit.1") and its text.
using ManualPage = std::pair<std::string, std::string>;

// The program's page first, then one for each command, in the order of --help.
std::vector<ManualPage> ManualPages(const Command& program, std::string_view version);

}  // namespace quantfleet::shell
