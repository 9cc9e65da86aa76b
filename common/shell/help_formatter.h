// --help as people read it: values without the names of C++ types, no lists of what excludes what
// (the error says so), one blank line between sections.
#pragma once

#include <memory>

#include "CLI/CLI.hpp"

namespace quantfleet::shell {

std::shared_ptr<CLI::Formatter> HelpFormatter();

}  // namespace quantfleet::shell
