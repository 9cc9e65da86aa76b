#include "pipeline/device/device_class.h"

#include <algorithm>

#include "common/base/outside_text.h"
#include "common/base/utf8.h"
#include "common/trust/runtime.h"
#include "pipeline/artifact/entry_file.h"
#include "pipeline/artifact/memory.h"
#include "pipeline/model/running_memory.h"

namespace quantfleet::pipeline {
namespace {

constexpr int64_t kMaxMiB = int64_t{1} << 30, kMaxWholeNumber = 1'000'000'000;
constexpr int64_t kMaxBytes = int64_t{1} << 50;  // of all files of an artifact
constexpr int64_t kMaxTokens = int64_t{1} << 30;
constexpr int64_t kMaxSoakSeconds = 24 * 3600, kMaxBudgetDays = 366;
constexpr double kMinGoldenAgreement =
    0.75;  // other arithmetic turns a token here and there; damage turns nearly all

bool ValidName(std::string_view name) {
  return !name.empty() && name.size() <= 64 && name.front() != '-' &&
         std::ranges::all_of(name, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
         });
}

// nullopt: the class names none. CheckRuntime checks the limits; those of the reader only keep
// values within a field's type.
std::optional<v1::Runtime> ReadRuntime(TomlReader& reader) {
  v1::Runtime runtime;
  std::vector<std::string> args;
  std::map<std::string, std::string> env;
  std::string health = "/health";
  int64_t start = 120, stop = 10, memory_mib = 0, restarts = 5, restart_ms = 1000;
  bool any = reader.Read("runtime.command", *runtime.mutable_command());
  any |= reader.Read("runtime.args", args);
  any |= reader.Read("runtime.env", env);
  any |= reader.Read("runtime.health", health);
  any |= reader.Read("runtime.start_timeout_seconds", start, 1, kMaxWholeNumber);
  any |= reader.Read("runtime.stop_timeout_seconds", stop, 1, kMaxWholeNumber);
  any |= reader.Read("runtime.memory_mib", memory_mib, 0, kMaxMiB);
  any |= reader.Read("runtime.restarts", restarts, 0, kMaxWholeNumber);
  any |= reader.Read("runtime.restart_ms", restart_ms, 1, kMaxWholeNumber);
  if (!any) return std::nullopt;
  runtime.mutable_args()->Assign(args.begin(), args.end());
  runtime.mutable_env()->insert(env.begin(), env.end());
  runtime.set_health_path(health);
  runtime.set_start_timeout_seconds(static_cast<uint32_t>(start));
  runtime.set_stop_timeout_seconds(static_cast<uint32_t>(stop));
  runtime.set_memory_bytes(static_cast<uint64_t>(memory_mib) << 20);
  runtime.set_restarts(static_cast<uint32_t>(restarts));
  runtime.set_restart_ms(static_cast<uint32_t>(restart_ms));
  return runtime;
}

// Errors of the reader show in its Finish.
absl::StatusOr<v1::ContextPolicy> ReadContext(TomlReader& reader, std::string_view format) {
  v1::ContextPolicy context;
  int64_t tokens = 0, least = 0;
  reader.Read("context", tokens, 1, kMaxTokens);
  reader.Read("min_context", least, 1, kMaxTokens);
  reader.Read("kv_type", *context.mutable_kv_type());
  context.set_tokens(static_cast<uint64_t>(tokens));
  context.set_min_tokens(static_cast<uint64_t>(least));
  if (const uint64_t most = tokens == 0 ? kDefaultContext : context.tokens();
      context.min_tokens() > most)
    return InvalidArgument("device class: min_context {} is above context {}{}", least, most,
                           tokens == 0 ? ", the default" : "");
  if (context.kv_type().empty()) return context;
  if (format != kEngineFormat)
    return InvalidArgument(
        "device class: kv_type can be chosen only for gguf; the runtime for {} has a fixed KV "
        "cache type",
        format);
  if (!IsCacheTypeName(context.kv_type()))
    return InvalidArgument("device class: kv_type \"{}\" is not known; use {}",
                           Shown(context.kv_type(), 64), CacheTypeNames());
  return context;
}

}  // namespace

v1::QualityLimits ReadQuality(TomlReader& reader) {
  v1::QualityLimits limits;
  double value = 0;
  if (reader.Read("quality.max_nll_increase", value, 0.0, 100.0))
    limits.set_max_nll_increase(value);
  if (reader.Read("quality.min_top1_agreement", value, 0.0, 1.0))
    limits.set_min_top1_agreement(value);
  if (reader.Read("quality.max_kl", value, 0.0, 100.0)) limits.set_max_kl(value);
  if (reader.Read("quality.max_kl_p99", value, 0.0, 100.0)) limits.set_max_kl_p99(value);
  return limits;
}

absl::StatusOr<DeviceClassSpec> ParseDeviceClass(std::string_view toml) {
  QF_ASSIGN_OR_RETURN(TomlReader reader, TomlReader::Parse(toml));
  DeviceClassSpec spec;
  reader.Require("name", spec.name);
  reader.Read("description", spec.description);
  reader.Require("format", spec.format);
  reader.Require("recipe", spec.recipe);
  int64_t max_bytes = 0;
  reader.Read("artifact_max_bytes", max_bytes, 1, kMaxBytes);
  std::string rounding(Name(spec.rounding)), fold = "none";
  const bool calibrates = reader.Read("calibration", spec.calibration);
  reader.Read("rounding", rounding);
  reader.Read("fold", fold);
  reader.Read("priority", spec.priority, -1'000'000, 1'000'000);
  reader.Read("memory_headroom", spec.memory_headroom, 1.0, 100.0);
  ClassRules& match = spec.match;
  int64_t least = 0, most = 0, cores = 0, disk = 0;
  reader.Read("match.arch", match.arch);
  reader.Read("match.form", match.form);
  reader.Read("match.min_memory_mib", least, 0, kMaxMiB);
  reader.Read("match.max_memory_mib", most, 1, kMaxMiB);
  reader.Read("match.any_instruction_set", match.any_instruction_set);
  reader.Read("match.all_instruction_sets", match.all_instruction_sets);
  reader.Read("match.any_accelerator", match.any_accelerator);
  reader.Read("match.any_runtime", match.any_runtime);
  reader.Read("match.power", match.power);
  reader.Read("match.link", match.link);
  reader.Read("match.min_cores", cores, 0, kMaxWholeNumber);
  reader.Read("match.min_disk_free_mib", disk, 0, kMaxMiB);
  reader.Read("match.min_memory_bandwidth_gbps", match.min_memory_bandwidth_gbps, 0.0, 1e6);
  reader.Read("match.min_kernel_gops", match.min_kernel_gops, 0.0, 1e6);
  reader.Read("match.labels", match.labels);
  spec.quality = ReadQuality(reader);
  double golden = kMinGoldenAgreement, speed = 0;
  int64_t memory_mib = 0, soak = 0, rate_kib = 0, budget_mib = 0, budget_days = 30;
  reader.Read("health.min_golden_agreement", golden, 0.0, 1.0);
  reader.Read("health.min_tokens_per_second", speed, 0.0, 1e6);
  reader.Read("health.min_memory_available_mib", memory_mib, 0, kMaxMiB);
  reader.Read("health.soak_seconds", soak, 0, kMaxSoakSeconds);
  reader.Read("step_down", spec.step_down);
  reader.Read("step_up", spec.step_up);
  reader.Read("network.max_kib_per_second", rate_kib, 0, kMaxWholeNumber);
  reader.Read("network.budget_mib", budget_mib, 0, kMaxMiB);
  reader.Read("network.budget_days", budget_days, 1, kMaxBudgetDays);
  spec.health.set_soak_seconds(static_cast<uint32_t>(soak));
  spec.network.set_max_bytes_per_second(static_cast<uint64_t>(rate_kib) << 10);
  if (budget_mib > 0) {
    spec.network.set_budget_bytes(static_cast<uint64_t>(budget_mib) << 20);
    spec.network.set_budget_days(static_cast<uint32_t>(budget_days));
  }
  spec.health.set_min_golden_agreement(golden);
  spec.health.set_min_tokens_per_second(speed);
  spec.health.set_min_memory_available_bytes(static_cast<uint64_t>(memory_mib) << 20);
  const absl::StatusOr<v1::ContextPolicy> context = ReadContext(reader, spec.format);
  spec.runtime = ReadRuntime(reader);
  QF_RETURN_IF_ERROR(Annotate(reader.Finish(), "device class"));
  QF_RETURN_IF_ERROR(context.status());
  spec.context = *context;
  spec.artifact_max_bytes = static_cast<uint64_t>(max_bytes);
  if (calibrates && spec.calibration != kSelfText)
    QF_RETURN_IF_ERROR(Annotate(CheckTextName(spec.calibration), "device class"));
  const auto how = RoundingFromName(rounding);
  if (!how.ok()) return Annotate(how.status(), "device class: rounding");
  spec.rounding = *how;
  if (spec.rounding != Rounding::kNearest && spec.calibration.empty())
    return InvalidArgument(
        "device class: rounding = \"{}\" needs a calibration: add calibration = \"{}\", or the "
        "name of a text",
        rounding, kSelfText);
  const auto folds = FoldFromName(fold);
  if (!folds.ok()) return Annotate(folds.status(), "device class: fold");
  spec.fold = *folds;
  if (spec.fold && spec.calibration.empty())
    return InvalidArgument(
        "device class: fold = \"{}\" needs a calibration: add calibration = \"{}\", or the name of "
        "a text",
        fold, kSelfText);
  if (spec.runtime)
    QF_RETURN_IF_ERROR(Annotate(trust::CheckRuntime(*spec.runtime), "device class"));
  match.min_memory_mib = static_cast<uint64_t>(least);
  match.max_memory_mib = static_cast<uint64_t>(most);
  match.min_cores = static_cast<uint64_t>(cores);
  match.min_disk_free_mib = static_cast<uint64_t>(disk);
  if (most != 0 && most < least)
    return InvalidArgument("device class: match.max_memory_mib {} is below match.min_memory_mib {}",
                           most, least);
  if (!ValidName(spec.name))
    return InvalidArgument(
        "device class: name must be 1 to 64 characters of a-z, 0-9 and '-', not beginning with "
        "'-'");
  return spec;
}

absl::Status CheckTextName(std::string_view name) {
  if (!name.empty() && name.size() <= 128 && name.front() != '.' && name != "none" &&
      std::ranges::none_of(
          name,
          [](char c) { return c == '/' || static_cast<unsigned char>(c) <= ' ' || c == 0x7f; }) &&
      IsUtf8(name))
    return absl::OkStatus();
  return InvalidArgument(
      "calibration \"{}\" is neither \"self\" nor the name of a text: a name has no spaces and no "
      "folders",
      Shown(name, 64));
}

absl::StatusOr<bool> FoldFromName(std::string_view name) {
  if (name == "auto" || name == "none") return name == "auto";
  return InvalidArgument("'{}' is not a way to fold: use auto or none", Shown(name, 64));
}

}  // namespace quantfleet::pipeline
