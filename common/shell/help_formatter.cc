#include "common/shell/help_formatter.h"

#include "common/shell/command_tree.h"

namespace quantfleet::shell {
namespace {

class Formatter final : public CLI::Formatter {
 public:
  Formatter() { column_width(30); }

  // What follows the names: "HOW", "N ...", "(required)".
  std::string make_option_opts(const CLI::Option* option) const override {
    const Option told = DescribeOption(*option);
    std::string text;
    if (!told.names.empty() && !told.value.empty()) text += " " + told.value;
    if (told.repeats) text += " ...";
    // Of arguments, the usage line shows it.
    if (told.required && !told.names.empty()) text += " (required)";
    return text;
  }
  std::string make_option_desc(const CLI::Option* option) const override {
    return DescribeOption(*option).help;
  }
};

}  // namespace

std::shared_ptr<CLI::Formatter> HelpFormatter() { return std::make_shared<Formatter>(); }

}  // namespace quantfleet::shell
