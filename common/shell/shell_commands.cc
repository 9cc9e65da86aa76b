#include "common/shell/shell_commands.h"

#include <memory>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "common/base/bytes.h"
#include "common/base/outside_text.h"
#include "common/shell/command_tree.h"
#include "common/shell/completion.h"
#include "common/shell/help_formatter.h"
#include "common/shell/manual.h"

namespace quantfleet::shell {
namespace {

absl::StatusOr<std::string> WriteManual(const std::vector<ManualPage>& pages, FileSystem& files,
                                        const fs::path& folder) {
  QF_RETURN_IF_ERROR(files.MakeFolder(folder));
  for (const auto& [name, text] : pages)
    QF_RETURN_IF_ERROR(files.WriteAtomically(folder / name, AsBytes(text)));
  return fmt::format("{} pages in {}\n", pages.size(), folder.string());
}

absl::StatusOr<std::string> PageOf(const std::vector<ManualPage>& pages, std::string name,
                                   const std::vector<std::string>& words) {
  for (const std::string& word : words) name += "-" + word;
  for (const auto& [file, text] : pages)
    if (file == name + ".1") return text;
  return NotFound("there is no command '{}': see --help", name);
}

}  // namespace

void AddShellCommands(CLI::App& app, FileSystem& files, std::string version, Done done) {
  CLI::App* completion = app.add_subcommand(
      "completion", "Print the script with which a shell completes this program's commands");
  auto shell = std::make_shared<std::string>();
  completion->add_option("SHELL", *shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  completion->callback([&app, shell, done] { done(CompletionScript(Describe(app), *shell)); });

  CLI::App* manual = app.add_subcommand("manual", "Print a manual page, or write all of them");
  auto words = std::make_shared<std::vector<std::string>>();
  auto folder = std::make_shared<std::string>();
  manual->add_option("COMMAND", *words, "The command whose page it is; none: the program's");
  manual->add_option("--out", *folder, "Write the pages of all commands to this folder")
      ->type_name("DIR");
  manual->callback([&app, &files, version = std::move(version), words, folder, done] {
    const std::vector<ManualPage> pages = ManualPages(Describe(app), version);
    done(folder->empty() ? PageOf(pages, app.get_name(), *words)
                         : WriteManual(pages, files, *folder));
  });
}

void ShapeMessages(CLI::App& app) {
  app.formatter(HelpFormatter());
  app.failure_message([&app](const CLI::App*, const CLI::Error& error) {
    return fmt::format("{0}: {1}\n{0}: see --help for usage\n", app.get_name(),
                       ShownLines(UsageMessage(app, error)));
  });
}

std::string UsageMessage(const CLI::App& app, const CLI::Error& error) {
  const std::string unknown = UnknownWord(app);
  return unknown.empty() ? error.what() : unknown;
}

}  // namespace quantfleet::shell
