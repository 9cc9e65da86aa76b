#include <CLI/CLI.hpp>

#include "common/config/settings.h"

namespace quantfleet::config {
namespace {

using Puts = std::vector<std::function<absl::Status()>>;

// One flag of a row. Option callbacks outlive the table: each takes its part of the row along.
struct AddFlag {
  CLI::App& app;
  const std::string& flag;
  const std::string& help;
  const std::shared_ptr<Puts>& puts;

  CLI::Option* operator()(const Text& text) const {
    CLI::Option* option = app.add_option_function<std::string>(
        flag,
        [keep = puts, put = text.put](const std::string& value) {
          if (!value.empty()) keep->push_back([put, value] { return put(value); });
        },
        help);
    return text.is_file ? option->check(CLI::ExistingFile) : option;
  }
  CLI::Option* operator()(const Whole& whole) const {
    return app.add_option_function<int64_t>(flag, Keep<int64_t>(whole.put), help)
        ->check(CLI::Range(whole.least, whole.most));
  }
  CLI::Option* operator()(const Number& number) const {
    return app.add_option_function<double>(flag, Keep<double>(number.put), help)
        ->check(CLI::Range(number.least, number.most));
  }
  CLI::Option* operator()(const Switch& on) const {
    return app.add_flag_callback(flag, [keep = Keep<bool>(on.put)] { keep(true); }, help);
  }
  CLI::Option* operator()(const Texts& texts) const {
    using Values = std::vector<std::string>;
    return app.add_option_function<Values>(flag, Keep<Values>(texts.put), help)
        ->allow_extra_args(false);
  }

  template <class Read, class Put>
  std::function<void(const Read&)> Keep(const Put& put) const {
    return [keep = puts, put](const Read& value) {
      keep->push_back([put, value] {
        put(value);
        return absl::OkStatus();
      });
    };
  }
};

}  // namespace

Given AddFlags(const Settings& settings, CLI::App& app, bool fallback_in_help) {
  Given given;
  for (const Setting& setting : settings) {
    if (!setting.flag.empty()) {
      const bool in_help = fallback_in_help && !setting.fallback.empty();
      const std::string help =
          in_help ? fmt::format("{} [{}]", setting.help, setting.fallback) : setting.help;
      CLI::Option* option =
          std::visit(AddFlag{app, setting.flag, help, given.puts_}, setting.value);
      if (!setting.variable.empty()) option->envname(setting.variable);
      if (!setting.type.empty()) option->type_name(setting.type);
      if (!fallback_in_help && !setting.fallback.empty()) option->default_str(setting.fallback);
    }
    for (const Setting::Spelling& earlier : setting.earlier)
      if (!earlier.flag.empty())
        std::visit(AddFlag{app, earlier.flag, "", given.puts_}, setting.value)->group("");
  }
  return given;
}

}  // namespace quantfleet::config
