#include "common/trust/runtime.h"

#include <algorithm>
#include <array>

#include "common/trust/name.h"

namespace quantfleet::trust {
namespace {

constexpr int kMaxArgs = 64, kMaxVariables = 32;
constexpr size_t kMaxText = 1024;
constexpr uint32_t kMaxSeconds = 3600, kMaxRestarts = 100, kMaxRestartMs = 60'000;

// Through these a variable becomes code: the loader's, and those of interpreters that an allowed
// program may be. A device that allows an interpreter itself has allowed any code.
constexpr std::array<std::string_view, 9> kCodePrefixes = {
    "LD_", "DYLD_", "PYTHON", "PERL", "RUBY", "NODE_", "GCONV", "GLIBC", "BASH_"};
constexpr std::array<std::string_view, 5> kCodeNames = {"PATH", "ENV", "IFS", "SHELLOPTS",
                                                        "JAVA_TOOL_OPTIONS"};

absl::Status CheckText(std::string_view field, const std::string& text) {
  if (text.size() > kMaxText)
    return InvalidArgument("{} has {} bytes; the maximum is {}", field, text.size(), kMaxText);
  if (text.find('\0') != std::string::npos)
    return InvalidArgument("{} contains a NUL character", field);
  static const std::map<std::string, std::string, std::less<>> any = {
      {"context", ""}, {"folder", ""}, {"kv_type", ""}, {"model", ""},
      {"name", ""},    {"port", ""},   {"socket", ""},  {"threads", ""}};
  return Annotate(FillIn(text, any).status(), field);
}

absl::Status CheckVariable(const std::string& name, const std::string& value) {
  const auto letter = [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
  };
  const bool plain =
      !name.empty() && name.size() <= kMaxNameSize && letter(name.front()) &&
      std::ranges::all_of(name, [&](char c) { return letter(c) || (c >= '0' && c <= '9'); });
  if (!plain)
    return InvalidArgument(
        "runtime.env: a variable's name consists of letters, digits and _; the maximum length is "
        "{}",
        kMaxNameSize);
  const bool code =
      std::ranges::find(kCodeNames, name) != kCodeNames.end() ||
      std::ranges::any_of(kCodePrefixes, [&](std::string_view p) { return name.starts_with(p); });
  if (code)
    return InvalidArgument(
        "runtime.env: {} can load code into a program: set it in a script on the device instead",
        name);
  for (const std::string_view file : {"/", "{folder}", "{model}"})
    if (value.find(file) != std::string::npos)
      return InvalidArgument(
          "runtime.env.{} names a file: pass it in runtime.args, or set it in a script on the "
          "device",
          name);
  return CheckText("runtime.env." + name, value);
}

}  // namespace

bool Names(const v1::Runtime& runtime, std::string_view placeholder) {
  const auto holds = [&](const std::string& text) {
    return text.find(placeholder) != std::string::npos;
  };
  return std::ranges::any_of(runtime.args(), holds) ||
         std::ranges::any_of(runtime.env(),
                             [&](const auto& variable) { return holds(variable.second); });
}

absl::StatusOr<std::string> FillIn(std::string_view text,
                                   const std::map<std::string, std::string, std::less<>>& values) {
  std::string out;
  while (!text.empty()) {
    const size_t open = std::min(text.find('{'), text.size());
    out += text.substr(0, open);
    text.remove_prefix(open);
    if (text.empty()) break;
    const size_t close = text.find_first_not_of("abcdefghijklmnopqrstuvwxyz_", 1);
    if (close == std::string_view::npos || close == 1 || text[close] != '}') {
      out += '{';
      text.remove_prefix(1);
      continue;
    }
    const std::string_view word = text.substr(1, close - 1);
    const auto value = values.find(word);
    if (value == values.end())
      return InvalidArgument(
          "{{{}}} is not a known placeholder: use {{model}}, {{folder}}, {{name}}, {{threads}}, "
          "{{context}}, {{kv_type}} and {{port}} or {{socket}}",
          word);
    out += value->second;
    text.remove_prefix(close + 1);
  }
  return out;
}

absl::Status CheckRuntime(const v1::Runtime& runtime) {
  if (!IsPlainName(runtime.command()))
    return InvalidArgument(
        "runtime.command must be a plain name that devices map to a program (`quantfleet-agent "
        "start --allow-runtime NAME=/PATH`), not a path");
  if (runtime.args_size() > kMaxArgs) return InvalidArgument("runtime.args: at most {}", kMaxArgs);
  for (const std::string& arg : runtime.args()) QF_RETURN_IF_ERROR(CheckText("runtime.args", arg));
  if (runtime.env_size() > kMaxVariables)
    return InvalidArgument("runtime.env: at most {}", kMaxVariables);
  for (const auto& [name, value] : runtime.env()) QF_RETURN_IF_ERROR(CheckVariable(name, value));
  if (Names(runtime, "{port}") == Names(runtime, "{socket}"))
    return InvalidArgument(
        "runtime.args or runtime.env must contain either {{port}} or {{socket}}, so that the agent "
        "can choose the address");
  const std::string& health = runtime.health_path();
  if (!health.starts_with('/') || health.size() > kMaxText ||
      !std::ranges::all_of(health, [](char c) { return c > ' ' && c < 0x7f; }))
    return InvalidArgument("runtime.health must be a path that begins with / and has no spaces");
  const auto in = [](uint32_t value, uint32_t least, uint32_t most) {
    return value >= least && value <= most;
  };
  if (!in(runtime.start_timeout_seconds(), 1, kMaxSeconds) ||
      !in(runtime.stop_timeout_seconds(), 1, kMaxSeconds))
    return InvalidArgument("runtime: start and stop timeouts must be 1 to {} seconds", kMaxSeconds);
  if (runtime.restarts() > kMaxRestarts || !in(runtime.restart_ms(), 1, kMaxRestartMs))
    return InvalidArgument("runtime: at most {} restarts are allowed, the first after 1 to {} ms",
                           kMaxRestarts, kMaxRestartMs);
  return absl::OkStatus();
}

}  // namespace quantfleet::trust
