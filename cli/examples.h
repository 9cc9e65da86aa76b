// Examples of every command, which --help and the manual pages print.
#pragma once

namespace CLI {
class App;
}

namespace quantfleet::cli {

// Puts each command's examples in front of its footer. After all commands are added.
void AddExamples(CLI::App& app);

}  // namespace quantfleet::cli
