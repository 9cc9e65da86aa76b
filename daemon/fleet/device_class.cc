#include "daemon/fleet/device_class.h"

#include <algorithm>
#include <optional>

#include "common/base/outside_text.h"

namespace quantfleet::daemon {
namespace {

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

bool HasAccelerator(const v1::HardwareFacts& facts, const std::string& wanted) {
  return std::ranges::any_of(facts.accelerators(), [&](const std::string& has) {
    return has == wanted || has.starts_with(wanted + ":");
  });
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
