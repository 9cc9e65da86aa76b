#include "common/shell/completion.h"

#include <fmt/core.h>

#include <algorithm>
#include <functional>

namespace quantfleet::shell {
namespace {

// Within single quotes of a shell.
std::string Quoted(std::string_view text, std::string_view quote) {
  std::string quoted;
  for (const char c : text) {
    if (c == '\'')
      quoted += quote;
    else
      quoted += c == '\n' ? ' ' : c;
  }
  return quoted;
}
std::string Posix(std::string_view text) { return "'" + Quoted(text, "'\\''") + "'"; }
std::string Fish(std::string_view text) { return "'" + Quoted(text, "\\'") + "'"; }

std::string Joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

// Calls `visit` with each command and the words that lead to it ("job submit"; the program: ""),
// and the options of its ancestors, which may stand behind it.
using Visit = std::function<void(const Command&, const std::string& path,
                                 const std::vector<const Command*>& above)>;
void Walk(const Command& command, const std::string& path, std::vector<const Command*> above,
          const Visit& visit) {
  visit(command, path, above);
  above.push_back(&command);
  for (const Command& below : command.commands)
    Walk(below, path.empty() ? below.name : path + " " + below.name, above, visit);
}

// Its own options and those of its ancestors that it has not got itself (--help).
std::vector<Option> AllOptions(const Command& command, const std::vector<const Command*>& above) {
  std::vector<Option> options = command.options;
  for (const Command* one : above)
    for (const Option& option : one->options)
      if (option.names.back() != "--version" &&
          std::ranges::none_of(options, [&](const Option& o) { return o.names == option.names; }))
        options.push_back(option);
  return options;
}

// "_quantfleet_agent": a name that every shell takes for a function.
std::string FunctionName(std::string_view text) {
  std::string name = "_";
  for (const char c : text) name += c == '-' || c == ' ' ? '_' : c;
  return name;
}

// The paths of all commands below the program: the words that lead on.
std::vector<std::string> Paths(const Command& program) {
  std::vector<std::string> paths;
  Walk(program, "", {}, [&](const Command&, const std::string& path, const auto&) {
    if (!path.empty()) paths.push_back(path);
  });
  return paths;
}

bool TakesPaths(const Command& command) {
  return std::ranges::any_of(command.arguments, [](const Option& one) { return one.path; });
}

}  // namespace

std::string BashCompletion(const Command& program) {
  const std::string function = FunctionName(program.name);
  std::string known, words, values;
  for (const std::string& path : Paths(program)) known += (known.empty() ? "" : "|") + Posix(path);
  Walk(program, "", {}, [&](const Command& command, const std::string& path, const auto& above) {
    std::vector<std::string> commands, names;
    for (const Command& below : command.commands) commands.push_back(below.name);
    for (const Option& option : AllOptions(command, above)) {
      names.insert(names.end(), option.names.begin(), option.names.end());
      if (option.value.empty()) continue;
      std::string patterns;
      for (const std::string& name : option.names)
        patterns += (patterns.empty() ? "" : "|") + Posix(path + " " + name);
      values += fmt::format(
          "    {})\n      {}\n      return ;;\n", patterns,
          !option.choices.empty() ? fmt::format("COMPREPLY=($(compgen -W {} -- \"$cur\"))",
                                                Posix(Joined(option.choices)))
          : option.path ? "compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- \"$cur\"))"
                        : "COMPREPLY=()");
    }
    words +=
        fmt::format("    {})\n      commands={} options={} files={} ;;\n", Posix(path),
                    Posix(Joined(commands)), Posix(Joined(names)), TakesPaths(command) ? "1" : "");
  });
  return fmt::format(
      R"(# Completes {0} in bash: source <({0} completion bash)
{1}() {{
  local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}} path= commands= options= files= i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "${{path:+$path }}${{COMP_WORDS[i]}}" in
    {2}) path="${{path:+$path }}${{COMP_WORDS[i]}}" ;;
    esac
  done
  case "$path $prev" in
{3}  esac
  case "$path" in
{4}  esac
  if [[ $cur == -* ]]; then
    COMPREPLY=($(compgen -W "$options" -- "$cur"))
  elif [[ -n $files ]]; then
    compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- "$cur"))
  else
    COMPREPLY=($(compgen -W "$commands" -- "$cur"))
  fi
}}
complete -F {1} {0}
)",
      program.name, function, known, values, words);
}

namespace {

// Of a specification of _arguments: colons and brackets have a meaning there.
std::string ZshText(std::string_view text) {
  std::string shown;
  for (const char c : text) {
    if (c == ':' || c == '[' || c == ']' || c == '\\') shown += '\\';
    shown += c == '\n' ? ' ' : c;
  }
  return shown;
}

std::string ZshAction(const Option& option) {
  if (!option.choices.empty()) return "(" + Joined(option.choices) + ")";
  return option.path ? "_files" : " ";
}

std::string ZshOption(const Option& option) {
  std::string text;
  for (const std::string& name : option.names) {
    const std::string value =
        option.value.empty() ? "" : fmt::format(":{}:{}", ZshText(option.value), ZshAction(option));
    text += fmt::format(" \\\n    {}", Posix(fmt::format("{}{}[{}]{}", option.repeats ? "*" : "",
                                                         name, ZshText(option.help), value)));
  }
  return text;
}

}  // namespace

std::string ZshCompletion(const Command& program) {
  std::string script = fmt::format(
      "#compdef {0}\n# Completes {0} in zsh: {0} completion zsh > "
      "\"${{fpath[1]}}/_{0}\"\n",
      program.name);
  const std::string first = FunctionName(program.name);
  Walk(program, "", {}, [&](const Command& command, const std::string& path, const auto& above) {
    const std::string function = path.empty() ? first : FunctionName(program.name + " " + path);
    std::string options;
    for (const Option& option : AllOptions(command, above)) options += ZshOption(option);
    if (command.commands.empty()) {
      for (const Option& argument : command.arguments)
        options += fmt::format(" \\\n    {}",
                               Posix(fmt::format("{}:{}:{}", argument.repeats ? "*" : "",
                                                 ZshText(argument.value), ZshAction(argument))));
      script += fmt::format("\n{}() {{\n  _arguments -s{}\n}}\n", function, options);
      return;
    }
    std::string list, cases;
    for (const Command& below : command.commands) {
      list += fmt::format("\n    {}", Posix(ZshText(below.name) + ":" + ZshText(below.help)));
      cases += fmt::format(
          "\n      {}) {} ;;", below.name,
          FunctionName(program.name + " " + (path.empty() ? below.name : path + " " + below.name)));
    }
    script += fmt::format(
        R"(
{0}() {{
  local curcontext="$curcontext" state line
  local -a commands
  commands=({1})
  _arguments -C -s{2} \
    '1:command:->command' '*::argument:->argument'
  case $state in
  command) _describe -t commands command commands ;;
  argument)
    case $words[1] in{3}
    esac ;;
  esac
}}
)",
        function, list, options, cases);
  });
  // Called by compinit's autoload, or sourced.
  return script + fmt::format(
                      "\nif [[ $zsh_eval_context[-1] == loadautofunc ]]; then\n  {0} "
                      "\"$@\"\nelse\n  compdef {0} {1}\nfi\n",
                      first, program.name);
}

std::string FishCompletion(const Command& program) {
  const std::string function = "_" + FunctionName(program.name) + "_at";
  std::string known, lines;
  for (const std::string& path : Paths(program)) known += " " + Fish(path);
  Walk(program, "", {}, [&](const Command& command, const std::string& path, const auto& above) {
    const std::string begin = fmt::format("complete -c {} -n {}", program.name,
                                          Fish(fmt::format("{} \"{}\"", function, path)));
    for (const Command& below : command.commands)
      lines += fmt::format("{} -a {} -d {}\n", begin, below.name, Fish(below.help));
    if (TakesPaths(command)) lines += begin + " -F\n";
    for (const Option& option : AllOptions(command, above)) {
      std::string line = begin;
      for (const std::string& name : option.names)
        line += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
      if (!option.value.empty()) {
        line += option.path ? " -r -F" : " -x";
        if (!option.choices.empty()) line += " -a " + Fish(Joined(option.choices));
      }
      lines += fmt::format("{} -d {}\n", line, Fish(option.help));
    }
  });
  return fmt::format(
      R"(# Completes {0} in fish: {0} completion fish > ~/.config/fish/completions/{0}.fish
function {1}
    set -l path
    for word in (commandline -opc)[2..]
        set -l next (string join ' ' $path $word)
        if contains -- "$next"{2}
            set path $next
        end
    end
    test "$path" = "$argv[1]"
end
complete -c {0} -f
{3})",
      program.name, function, known, lines);
}

absl::StatusOr<std::string> CompletionScript(const Command& program, std::string_view shell) {
  if (shell == "bash") return BashCompletion(program);
  if (shell == "zsh") return ZshCompletion(program);
  if (shell == "fish") return FishCompletion(program);
  return InvalidArgument("'{}' is not a shell that can be completed in: bash, zsh or fish", shell);
}

}  // namespace quantfleet::shell
