// Scripts with which bash, zsh and fish complete a program's commands, options and values. Pure.
#pragma once

#include <string>
#include <string_view>

#include "common/base/status.h"
#include "common/shell/command_tree.h"

namespace quantfleet::shell {

// For "bash", "zsh" or "fish". INVALID_ARGUMENT: another one.
absl::StatusOr<std::string> CompletionScript(const Command& program, std::string_view shell);

std::string BashCompletion(const Command& program);
std::string ZshCompletion(const Command& program);
std::string FishCompletion(const Command& program);

}  // namespace quantfleet::shell
