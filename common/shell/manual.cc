#include "common/shell/manual.h"

#include <fmt/core.h>

namespace quantfleet::shell {
namespace {

// A text's line: nothing in it is taken for a request or an escape, and hyphens can be copied.
std::string Line(std::string_view text) {
  std::string line = text.starts_with('.') || text.starts_with('\'') ? "\\&" : "";
  for (const char c : text) {
    if (c == '\\')
      line += "\\e";
    else if (c == '-')
      line += "\\-";
    else
      line += c;
  }
  return line;
}

std::string Upper(std::string text) {
  for (char& c : text)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  return text;
}

std::string Synopsis(const Command& command, std::string_view path) {
  std::string line = fmt::format(".B {}\n", Line(path));
  if (!command.options.empty()) line += "[\\fIoptions\\fR]\n";
  if (!command.commands.empty()) line += "\\fIcommand\\fR ...\n";
  for (const Option& one : command.arguments)
    line += fmt::format("{}\\fI{}\\fR{}{}\n", one.required ? "" : "[", Line(one.value),
                        one.repeats ? " ..." : "", one.required ? "" : "]");
  return line;
}

std::string OptionText(const Option& option) {
  std::string names;
  for (const std::string& name : option.names)
    names += fmt::format("{}\\fB{}\\fR", names.empty() ? "" : ", ", Line(name));
  if (!option.value.empty())
    names += fmt::format("{}\\fI{}\\fR", names.empty() ? "" : " ", Line(option.value));
  std::string text = fmt::format(".TP\n{}\n{}", names, Line(option.help));
  if (!option.choices.empty()) {
    std::string all;
    for (const std::string& choice : option.choices) all += (all.empty() ? "" : ", ") + choice;
    text += fmt::format("\nOne of: {}.", Line(all));
  }
  return text + "\n";
}

// The lines below --help's options: paragraphs, of which "Examples:" are a section.
std::string Footer(std::string_view footer) {
  std::string examples, notes;
  while (!footer.empty()) {
    const size_t end = std::min(footer.find("\n\n"), footer.size());
    std::string_view paragraph = footer.substr(0, end);
    footer.remove_prefix(std::min(end + 2, footer.size()));
    while (paragraph.starts_with('\n')) paragraph.remove_prefix(1);
    constexpr std::string_view kExamples = "Examples:\n";
    const bool example = paragraph.starts_with(kExamples);
    if (example) paragraph.remove_prefix(kExamples.size());
    std::string text;
    while (!paragraph.empty()) {
      const size_t stop = std::min(paragraph.find('\n'), paragraph.size());
      std::string_view line = paragraph.substr(0, stop);
      paragraph.remove_prefix(std::min(stop + 1, paragraph.size()));
      while (line.starts_with(' ')) line.remove_prefix(1);
      text += Line(line) + "\n";
    }
    if (example)
      examples += ".nf\n" + text + ".fi\n";
    else if (!text.empty())
      notes += (notes.empty() ? "" : ".PP\n") + text;
  }
  std::string sections;
  if (!examples.empty()) sections += ".SH EXAMPLES\n" + examples;
  if (!notes.empty()) sections += ".SH NOTES\n" + notes;
  return sections;
}

std::string PageName(std::string path) {
  for (char& c : path)
    if (c == ' ') c = '-';
  return path;
}

void AddPages(const Command& command, const std::string& path, const std::string& above,
              std::string_view program, std::string_view version, std::vector<ManualPage>& pages) {
  const std::string name = PageName(path);
  std::string page =
      fmt::format(".TH {} 1 \"\" \"{} {}\" \"{} manual\"\n.SH NAME\n{} \\- {}\n", Upper(Line(name)),
                  Line(program), Line(version), Line(program), Line(name), Line(command.help));
  page += ".SH SYNOPSIS\n" + Synopsis(command, path);
  if (!command.commands.empty()) page += ".SH COMMANDS\n";
  for (const Command& below : command.commands)
    page += fmt::format(".TP\n.B {}\n{}\n", Line(below.name), Line(below.help));
  if (!command.arguments.empty()) page += ".SH ARGUMENTS\n";
  for (const Option& argument : command.arguments) page += OptionText(argument);
  if (!command.options.empty()) page += ".SH OPTIONS\n";
  for (const Option& option : command.options) page += OptionText(option);
  page += Footer(command.footer);
  std::string others = above.empty() ? "" : fmt::format(".BR {} (1)", Line(PageName(above)));
  for (const Command& below : command.commands)
    others += fmt::format("{}.BR {} (1)", others.empty() ? "" : ",\n",
                          Line(PageName(path + " " + below.name)));
  if (!others.empty()) page += ".SH SEE ALSO\n" + others + "\n";
  pages.emplace_back(name + ".1", std::move(page));
  for (const Command& below : command.commands)
    AddPages(below, path + " " + below.name, path, program, version, pages);
}

}  // namespace

std::vector<ManualPage> ManualPages(const Command& program, std::string_view version) {
  std::vector<ManualPage> pages;
  AddPages(program, program.name, "", program.name, version, pages);
  return pages;
}

}  // namespace quantfleet::shell
