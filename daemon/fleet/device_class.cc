#include "daemon/fleet/device_class.h"

#include <algorithm>
#include <optional>

#include "common/base/outside_text.h"
#include "common/toml/toml_reader.h"
#include "common/trust/runtime.h"
#include "daemon/fleet/calibration_texts.h"
#include "pipeline/artifact/entry_file.h"
#include "pipeline/artifact/memory.h"
#include "pipeline/model/running_memory.h"

namespace quantfleet::daemon {
namespace {

constexpr int64_t kMaxMiB = int64_t{1} << 30, kMaxWholeNumber = 1'000'000'000;
constexpr int64_t kMaxTokens = int64_t{1} << 30;
constexpr int64_t kMaxSoakSeconds = 24 * 3600, kMaxBudgetDays = 366;
constexpr double kMinGoldenAgreement =
    0.75;  // other arithmetic turns a token here and there; damage turns nearly all

std::string Join(const std::vector<std::string>& words, std::string_view separator) {
  std::string joined;
  for (const std::string& word : words) {
    if (!joined.empty()) joined += separator;
    joined += word;
  }
  return joined;
}

// What a fact is called in a reason: facts come from outside, so they are cut and cleaned.
std::string ShownFact(std::string_view fact) { return fact.empty() ? "unknown" : Shown(fact, 64); }

bool OneOf(const std::vector<std::string>& allowed, std::string_view value) {
  return std::ranges::find(allowed, value) != allowed.end();
}

bool ValidName(std::string_view name) {
  return !name.empty() && name.size() <= 64 && name.front() != '-' &&
         std::ranges::all_of(name, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
         });
}

bool HasAccelerator(const v1::HardwareFacts& facts, const std::string& wanted) {
  return std::ranges::any_of(facts.accelerators(), [&](const std::string& has) {
    return has == wanted || has.starts_with(wanted + ":");
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
  if (const uint64_t most = tokens == 0 ? pipeline::kDefaultContext : context.tokens();
      context.min_tokens() > most)
    return InvalidArgument("device class: min_context {} is above context {}{}", least, most,
                           tokens == 0 ? ", the default" : "");
  if (context.kv_type().empty()) return context;
  if (format != pipeline::kEngineFormat)
    return InvalidArgument(
        "device class: kv_type can be chosen only for gguf; the runtime for {} has a fixed KV "
        "cache type",
        format);
  if (!pipeline::IsCacheTypeName(context.kv_type()))
    return InvalidArgument("device class: kv_type \"{}\" is not known; use {}",
                           ShownFact(context.kv_type()), pipeline::CacheTypeNames());
  return context;
}

// The first rule that does not hold, for people; nullopt when the class matches.
std::optional<std::string> WhyNot(const ClassRules& rules, const v1::HardwareFacts& facts,
                                  const Labels& labels) {
  if (!rules.arch.empty() && !OneOf(rules.arch, facts.arch()))
    return fmt::format("needs arch {}, has {}", Join(rules.arch, " or "), ShownFact(facts.arch()));
  const std::string form = facts.form().empty() ? "unknown" : facts.form();
  if (!rules.form.empty() && !OneOf(rules.form, form))
    return fmt::format("needs form {}, has {}", Join(rules.form, " or "), ShownFact(form));
  const uint64_t memory_mib = facts.memory_total_bytes() >> 20;
  if (memory_mib < rules.min_memory_mib)
    return fmt::format("needs {} MiB of memory, has {}", rules.min_memory_mib, memory_mib);
  if (rules.max_memory_mib != 0 && memory_mib > rules.max_memory_mib)
    return fmt::format("is for at most {} MiB of memory, has {}", rules.max_memory_mib, memory_mib);
  const auto has_isa = [&](const std::string& isa) {
    return std::ranges::find(facts.instruction_sets(), isa) != facts.instruction_sets().end();
  };
  if (!rules.any_instruction_set.empty() &&
      std::ranges::none_of(rules.any_instruction_set, has_isa))
    return fmt::format("needs instruction set {}", Join(rules.any_instruction_set, " or "));
  for (const std::string& isa : rules.all_instruction_sets)
    if (!has_isa(isa)) return fmt::format("needs instruction set {}", isa);
  if (!rules.any_accelerator.empty() &&
      std::ranges::none_of(rules.any_accelerator,
                           [&](const std::string& a) { return HasAccelerator(facts, a); }))
    return fmt::format("needs accelerator {}", Join(rules.any_accelerator, " or "));
  const auto has_runtime = [&](const std::string& runtime) {
    return std::ranges::count(facts.runtimes(), runtime) +
               std::ranges::count(facts.runtimes_found(), runtime) >
           0;
  };
  if (!rules.any_runtime.empty() && std::ranges::none_of(rules.any_runtime, has_runtime))
    return fmt::format("needs runtime {}", Join(rules.any_runtime, " or "));
  if (!rules.power.empty() && !OneOf(rules.power, facts.power()))
    return fmt::format("needs power {}, has {}", Join(rules.power, " or "),
                       ShownFact(facts.power()));
  if (!rules.link.empty() && !OneOf(rules.link, facts.link()))
    return fmt::format("needs link {}, has {}", Join(rules.link, " or "), ShownFact(facts.link()));
  if (facts.cores() < rules.min_cores)
    return fmt::format("needs at least {} cores, has {}", rules.min_cores, facts.cores());
  if (const uint64_t free_mib = facts.disk_free_bytes() >> 20; free_mib < rules.min_disk_free_mib)
    return fmt::format("needs {} MiB of free disk space, has {}", rules.min_disk_free_mib,
                       free_mib);
  if (facts.memory_bandwidth_gbps() < rules.min_memory_bandwidth_gbps)
    return fmt::format("needs {} GB/s of memory bandwidth, has {:.2f}",
                       rules.min_memory_bandwidth_gbps, facts.memory_bandwidth_gbps());
  if (facts.kernel_gops() < rules.min_kernel_gops)
    return fmt::format(
        "needs kernels with {} billion multiply-adds per second per core, has {:.2f}",
        rules.min_kernel_gops, facts.kernel_gops());
  for (const auto& [key, value] : rules.labels) {
    const auto found = labels.find(key);
    if (found == labels.end()) return fmt::format("needs label {}={}", key, value);
    if (found->second != value)
      return fmt::format("needs label {}={}, has {}", key, value, ShownFact(found->second));
  }
  return std::nullopt;
}

// A device reports which runtimes it allows. It would only refuse any other.
std::optional<std::string> WhyNot(const DeviceClassSpec& spec, const v1::HardwareFacts& facts,
                                  const Labels& labels) {
  if (auto why_not = WhyNot(spec.match, facts, labels)) return why_not;
  if (!spec.runtime || std::ranges::count(facts.runtimes(), spec.runtime->command()) > 0)
    return std::nullopt;
  return fmt::format(
      "needs runtime {0}, which the device does not allow (`quantfleet-agent start --allow-runtime "
      "{0}=/PATH`)",
      spec.runtime->command());
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

std::optional<std::string> WhyNotGoodEnough(const v1::QualityLimits& limits,
                                            const v1::EvaluationStatement* evaluation,
                                            std::string_view whose) {
  if (!limits.has_max_nll_increase() && !limits.has_min_top1_agreement() && !limits.has_max_kl() &&
      !limits.has_max_kl_p99())
    return std::nullopt;
  if (evaluation == nullptr)
    return fmt::format("it was not measured, but {} has quality limits", whose);
  if (evaluation->vectors() > 0)
    return fmt::format(
        "it is an embedding model, which has no likelihoods for the quality limits of {}", whose);
  if (evaluation->tokens() == 0)
    return "its quality was not measured, because the evaluation text is not of the model's kind";
  const double increase = evaluation->mean_nll() - evaluation->reference_mean_nll();
  if (limits.has_max_nll_increase() && !(increase <= limits.max_nll_increase()))
    return fmt::format("its mean NLL is {:.4f} above the source's, {} allows {:.4f}", increase,
                       whose, limits.max_nll_increase());
  if (limits.has_min_top1_agreement() &&
      !(evaluation->top1_agreement() >= limits.min_top1_agreement()))
    return fmt::format("its top-1 agreement is {:.1f} %, {} requires {:.1f} %",
                       100 * evaluation->top1_agreement(), whose,
                       100 * limits.min_top1_agreement());
  if (limits.has_max_kl() && !(evaluation->mean_kl() <= limits.max_kl()))
    return fmt::format("its KL divergence is {:.4f}, {} allows {:.4f}", evaluation->mean_kl(),
                       whose, limits.max_kl());
  if (limits.has_max_kl_p99() && !(evaluation->kl_p99() <= limits.max_kl_p99()))
    return fmt::format("the 99th percentile of its KL divergence is {:.4f}, {} allows {:.4f}",
                       evaluation->kl_p99(), whose, limits.max_kl_p99());
  return std::nullopt;
}

absl::StatusOr<DeviceClassSpec> ParseDeviceClass(std::string_view toml) {
  QF_ASSIGN_OR_RETURN(TomlReader reader, TomlReader::Parse(toml));
  DeviceClassSpec spec;
  reader.Require("name", spec.name);
  reader.Read("description", spec.description);
  reader.Require("format", spec.format);
  reader.Require("recipe", spec.recipe);
  std::string rounding(pipeline::Name(spec.rounding));
  const bool calibrates = reader.Read("calibration", spec.calibration);
  reader.Read("rounding", rounding);
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
  if (calibrates && spec.calibration != kSelfText)
    QF_RETURN_IF_ERROR(Annotate(CheckTextName(spec.calibration), "device class"));
  const auto how = pipeline::RoundingFromName(rounding);
  if (!how.ok()) return Annotate(how.status(), "device class: rounding");
  spec.rounding = *how;
  if (spec.rounding != pipeline::Rounding::kNearest && spec.calibration.empty())
    return InvalidArgument(
        "device class: rounding = \"{}\" needs a calibration: add calibration = \"{}\", or the "
        "name of a text",
        rounding, kSelfText);
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

ClassMatch MatchClass(const v1::HardwareFacts& facts, const Labels& labels,
                      const std::vector<DeviceClassSpec>& classes, std::string_view pinned) {
  std::vector<const DeviceClassSpec*> ordered;
  for (const DeviceClassSpec& spec : classes) ordered.push_back(&spec);
  std::ranges::sort(ordered, [&](const DeviceClassSpec* a, const DeviceClassSpec* b) {
    if ((a->name == pinned) != (b->name == pinned)) return a->name == pinned;
    return a->priority != b->priority ? a->priority > b->priority : a->name < b->name;
  });
  const auto name_of = [&](const DeviceClassSpec& spec) {
    return spec.name == pinned ? spec.name + " (pinned by its token)" : spec.name;
  };

  ClassMatch match;
  std::vector<std::string> reasons;
  if (!pinned.empty() &&
      std::ranges::find(classes, pinned, &DeviceClassSpec::name) == classes.end())
    reasons.push_back(fmt::format("{} (pinned by its token): there is no such class", pinned));
  for (const DeviceClassSpec* spec : ordered) {
    if (const auto why_not = WhyNot(*spec, facts, labels)) {
      reasons.push_back(fmt::format("{}: {}", name_of(*spec), *why_not));
    } else if (match.name.empty()) {
      match.name = spec->name;
      reasons.insert(reasons.begin(),
                     fmt::format("{}: fits, priority {}", name_of(*spec), spec->priority));
    } else {
      reasons.push_back(fmt::format("{}: also fits, priority {}", spec->name, spec->priority));
    }
  }
  if (match.name.empty()) reasons.insert(reasons.begin(), "no device class fits");
  match.reason = Join(reasons, "; ");
  return match;
}

void Classify(v1::Device& device, const std::vector<DeviceClassSpec>& classes) {
  const Labels labels(device.labels().begin(), device.labels().end());
  ClassMatch match = MatchClass(device.facts(), labels, classes, device.pinned_class());
  device.set_device_class(std::move(match.name));
  device.set_class_reason(std::move(match.reason));
}

}  // namespace quantfleet::daemon
