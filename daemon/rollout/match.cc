#include "daemon/rollout/match.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>
#include <variant>

#include "common/base/bytes.h"
#include "daemon/rollout/row.h"
#include "pipeline/artifact/entry_file.h"
#include "pipeline/artifact/evaluation.h"
#include "pipeline/artifact/kind.h"
#include "pipeline/artifact/memory.h"

namespace quantfleet::daemon {
namespace {

using v1::RolloutDevice;

v1::RolloutDevice Skip(v1::RolloutDevice row, RolloutDevice::Code code, std::string_view reason) {
  Move(row, RowEvent::kUnsuit, {.why = reason, .code = code});
  return row;
}

bool IsSmaller(const OfferedArtifact* a, const OfferedArtifact* b) {
  return std::pair(a->artifact.size_bytes(), b->artifact.recipe()) <
         std::pair(b->artifact.size_bytes(), a->artifact.recipe());
}

// Why the class takes no artifact of so many bytes.
std::optional<std::string> WhyTooLarge(const DeviceClassSpec& spec, const v1::Artifact& artifact) {
  if (spec.artifact_max_bytes == 0 || artifact.size_bytes() <= spec.artifact_max_bytes)
    return std::nullopt;
  return fmt::format("{} ({}:{}) has {} bytes, and class {} allows {}", artifact.name(),
                     artifact.format(), artifact.recipe(), artifact.size_bytes(), spec.name,
                     spec.artifact_max_bytes);
}

// What the class may get, of its format. Where it bounds the bytes of artifacts, the largest within
// stands for one of its own recipe that has more or is not offered.
struct Candidates {
  const OfferedArtifact* own = nullptr;         // null: it is not offered
  std::optional<std::string> instead_of;        // why it is another than that of its recipe
  std::vector<const OfferedArtifact*> larger;   // where it steps up; the smallest first
  std::vector<const OfferedArtifact*> smaller;  // where it steps down; the largest first
};

Candidates CandidatesOf(const DeviceClassSpec& spec,
                        const std::vector<OfferedArtifact>& artifacts) {
  // Of several of a recipe, the one whose codes are chosen as the class says.
  const auto as_class_says = [&](const OfferedArtifact& a) {
    return a.rounding == pipeline::Name(spec.rounding) && a.folded == spec.fold;
  };
  const auto chosen = [&](const std::string& recipe) {
    const OfferedArtifact* best = nullptr;
    for (const OfferedArtifact& a : artifacts) {
      if (a.artifact.format() != spec.format || a.artifact.recipe() != recipe) continue;
      if (best == nullptr || (!as_class_says(*best) && as_class_says(a))) best = &a;
    }
    return best;
  };
  Candidates found;
  found.own = chosen(spec.recipe);
  if (spec.artifact_max_bytes > 0 &&
      (found.own == nullptr || WhyTooLarge(spec, found.own->artifact))) {
    if (found.own != nullptr) found.instead_of = WhyTooLarge(spec, found.own->artifact);
    found.own = nullptr;
    for (const OfferedArtifact& other : artifacts)
      if (chosen(other.artifact.recipe()) == &other && !WhyTooLarge(spec, other.artifact) &&
          (found.own == nullptr || IsSmaller(found.own, &other)))
        found.own = &other;
  }
  if (found.own == nullptr) return found;
  const uint64_t own_bytes = found.own->artifact.size_bytes();
  for (const OfferedArtifact& other : artifacts) {
    if (chosen(other.artifact.recipe()) != &other) continue;  // nor where the format is another
    if (WhyTooLarge(spec, other.artifact)) continue;
    if (spec.step_down && other.artifact.size_bytes() < own_bytes) found.smaller.push_back(&other);
    if (spec.step_up && other.artifact.size_bytes() > own_bytes) found.larger.push_back(&other);
  }
  std::ranges::sort(found.larger, IsSmaller);
  std::ranges::sort(found.smaller, [](const auto* a, const auto* b) { return IsSmaller(b, a); });
  return found;
}

struct Obstacle {
  RolloutDevice::Code code;
  std::string reason;
  bool too_much = false;  // a smaller one may do
};

// How the device would run an artifact.
struct Choice {
  v1::ContextPolicy context;
  std::string memory;   // what that needs
  std::string shorter;  // why the context is shorter than the class wants; empty: it is not
};

// The agent knows a ContextPolicy.
bool TakesContext(const v1::Device& device) { return device.facts().kv_types_size() > 0; }

// What the device will run: what the class wants, or, if an older agent's own engine runs the
// artifact, what that engine does in any case.
v1::ContextPolicy WishOf(const v1::Device& device, const DeviceClassSpec& spec) {
  if (spec.runtime || spec.format != pipeline::kEngineFormat || TakesContext(device))
    return spec.context;
  v1::ContextPolicy earlier;
  earlier.set_kv_type("f32");
  return earlier;
}

std::variant<Choice, Obstacle> ChooseContext(const v1::Device& device, const DeviceClassSpec& spec,
                                             const OfferedArtifact& offered) {
  const std::string& artifact = offered.artifact.name();
  const v1::ContextPolicy wish = WishOf(device, spec);
  const uint64_t total = device.facts().memory_total_bytes();
  const uint64_t bytes =
      total == 0 ? std::numeric_limits<uint64_t>::max()
                 : static_cast<uint64_t>(static_cast<double>(total) / spec.memory_headroom);
  const std::string has =
      fmt::format("the device has {}{}", HumanBytes(total),
                  spec.memory_headroom == 1
                      ? ""
                      : fmt::format(", of which {} is left after the headroom of class {}",
                                    HumanBytes(bytes), spec.name));
  const auto unlimited =
      pipeline::FitContext(offered.memory, wish, std::numeric_limits<uint64_t>::max());
  if (!unlimited.ok())
    return Obstacle{
        RolloutDevice::CONTEXT_UNAVAILABLE,
        fmt::format("{}: class {}: {}", artifact, spec.name, Message(unlimited.status()))};
  const auto need = pipeline::FitContext(offered.memory, wish, bytes);
  if (!need.ok())
    return Obstacle{RolloutDevice::TOO_LITTLE_MEMORY,
                    fmt::format("{} needs {}; {}; {}", artifact, pipeline::DescribeNeed(*unlimited),
                                has, pipeline::WhatFits(offered.memory, unlimited->kv_type, bytes)),
                    true};
  Choice choice{.context = {}, .memory = pipeline::DescribeNeed(*need), .shorter = {}};
  choice.context.set_tokens(need->context);
  choice.context.set_min_tokens(std::min(wish.min_tokens(), need->context));
  choice.context.set_kv_type(need->kv_type);
  // An older artifact does not say how many tokens its model supports: the runtime knows.
  if (offered.memory.model_context() == 0 && wish.tokens() == 0)
    choice.context.clear_tokens(), choice.context.clear_min_tokens();
  if (need->context < unlimited->context)
    choice.shorter =
        fmt::format("the context is {} tokens instead of {}: that would need {}; {}", need->context,
                    unlimited->context, pipeline::DescribeNeed(*unlimited), has);
  return choice;
}

std::optional<Obstacle> WhyNot(const v1::Device& device, const OfferedArtifact& offered,
                               std::string_view model) {
  const v1::Artifact& artifact = offered.artifact;
  // Every runtime answers text, the agent's engine and those that a class names.
  if (artifact.no_tokenizer())
    return Obstacle{RolloutDevice::NO_TOKENIZER,
                    fmt::format("{} has no tokenizer, and what answers text on a device needs one: "
                                "push the model with its tokenizer's files",
                                artifact.name())};
  // Whatever runs it, an agent that does not know the kind refuses the manifest.
  const auto& kinds = device.facts().model_kinds();
  if (offered.kind == pipeline::ArtifactKind::kEmbeddingModel &&
      std::ranges::find(kinds, pipeline::kEmbeddingKind) == kinds.end())
    return Obstacle{RolloutDevice::AGENT_TOO_OLD,
                    fmt::format("{} is an embedding model, which the device's agent ({}) does not "
                                "run: update the agent",
                                artifact.name(), device.agent_version())};
  for (const v1::Outgrown& outgrown : device.outgrown())
    if (!outgrown.forgotten() && outgrown.model() == model &&
        outgrown.format() == artifact.format() && outgrown.recipe() == artifact.recipe())
      return Obstacle{
          outgrown.reason() == "too_slow" ? RolloutDevice::TOO_SLOW : RolloutDevice::OUT_OF_MEMORY,
          fmt::format("the device stepped down from {}:{}: {}; run `quantfleet device step-up {}` "
                      "to let it try again",
                      artifact.format(), artifact.recipe(), outgrown.detail(), device.id()),
          true};
  for (const std::string& isa : offered.instruction_sets) {
    if (std::ranges::find(device.facts().instruction_sets(), isa) !=
        device.facts().instruction_sets().end())
      continue;
    return Obstacle{RolloutDevice::NO_INSTRUCTION_SET,
                    fmt::format("{} needs instruction set {}", artifact.name(), isa)};
  }
  return std::nullopt;
}

// How the device would run the artifact, or what prevents that.
std::variant<Choice, Obstacle> Consider(const v1::Device& device, const DeviceClassSpec& spec,
                                        const OfferedArtifact& offered, std::string_view model,
                                        const v1::QualityLimits& gate) {
  if (auto obstacle = WhyNot(device, offered, model)) return *std::move(obstacle);
  auto chosen = ChooseContext(device, spec, offered);
  const auto* choice = std::get_if<Choice>(&chosen);
  if (choice == nullptr) return chosen;
  const v1::EvaluationStatement* evaluation = pipeline::PickEvaluation(
      offered.evaluations, offered.memory, choice->context.tokens(), choice->context.kv_type());
  auto why_not = WhyNotGoodEnough(spec.quality, evaluation);
  if (!why_not) why_not = WhyNotGoodEnough(gate, evaluation, "the plan");
  if (why_not)
    return Obstacle{RolloutDevice::NOT_GOOD_ENOUGH,
                    fmt::format("{}: {}", offered.artifact.name(), *why_not)};
  return chosen;
}

void Give(RolloutDevice& row, const OfferedArtifact& offered, Choice choice) {
  row.set_artifact(offered.artifact.name());
  row.set_bytes(offered.artifact.stored_bytes());
  row.set_memory(choice.memory);
  row.set_reason(choice.shorter);
  *row.mutable_context() = std::move(choice.context);
}

void Explain(RolloutDevice& row, std::string_view what, const Obstacle& own) {
  row.set_reason(fmt::format("{}{}: {}", what, row.reason().empty() ? "" : ", and " + row.reason(),
                             own.reason));
}

// A release of the agent: by the device's architecture, whatever its class.
RolloutDevice MatchAgent(RolloutDevice row, const v1::Device& device,
                         const std::vector<OfferedArtifact>& artifacts) {
  const std::string& architecture = device.facts().arch();
  const auto own = std::ranges::find_if(
      artifacts, [&](const OfferedArtifact& a) { return a.artifact.recipe() == architecture; });
  if (own == artifacts.end())
    return Skip(std::move(row), RolloutDevice::NO_ARTIFACT,
                fmt::format("there is no agent for architecture \"{}\": publish one with "
                            "`quantfleet agent publish`",
                            architecture));
  row.set_artifact(own->artifact.name());
  row.set_bytes(own->artifact.stored_bytes());
  Move(row, RowEvent::kSuit, {});
  return row;
}

}  // namespace

v1::RolloutDevice MatchDevice(const v1::Device& device,
                              const std::vector<OfferedArtifact>& artifacts,
                              const std::vector<DeviceClassSpec>& classes, std::string_view model,
                              const v1::QualityLimits& gate) {
  RolloutDevice row;
  row.set_device_id(device.id());
  row.set_device_class(device.device_class());
  if (device.state() != v1::Device::ACTIVE)
    return Skip(row, RolloutDevice::REVOKED, "the device was revoked");
  if (pipeline::KindOfModel(model) == pipeline::ArtifactKind::kProgram)
    return MatchAgent(std::move(row), device, artifacts);
  if (device.device_class().empty())
    return Skip(row, RolloutDevice::NO_CLASS, device.class_reason());
  const auto spec = std::ranges::find(classes, device.device_class(), &DeviceClassSpec::name);
  if (spec == classes.end())
    return Skip(
        row, RolloutDevice::NO_CLASS,
        fmt::format("class {} no longer exists: the device gets another at its next check-in",
                    device.device_class()));
  const Candidates candidates = CandidatesOf(*spec, artifacts);
  if (candidates.own == nullptr && candidates.instead_of)
    return Skip(
        row, RolloutDevice::ARTIFACT_TOO_LARGE,
        fmt::format("{}: submit a job for it, which makes a smaller one", *candidates.instead_of));
  if (candidates.own == nullptr)
    return Skip(row, RolloutDevice::NO_ARTIFACT,
                fmt::format("model {} has no artifact {}:{}{}: submit a job for class {}", model,
                            spec->format, spec->recipe,
                            spec->artifact_max_bytes == 0
                                ? ""
                                : fmt::format(", and no other one of at most {} bytes",
                                              spec->artifact_max_bytes),
                            spec->name));
  const auto consider = [&](const OfferedArtifact& offered) {
    return Consider(device, *spec, offered, model, gate);
  };
  auto considered = consider(*candidates.own);
  std::optional<Obstacle> own;  // what prevents the class's own
  if (auto* obstacle = std::get_if<Obstacle>(&considered))
    own = std::move(*obstacle);
  else
    Give(row, *candidates.own, std::get<Choice>(std::move(considered)));
  if (!own && candidates.instead_of)
    Explain(row, "a smaller precision", {.code = {}, .reason = *candidates.instead_of});

  if (own && own->code == RolloutDevice::NOT_GOOD_ENOUGH) {
    for (const OfferedArtifact* larger : candidates.larger) {
      auto instead = consider(*larger);
      if (const auto* obstacle = std::get_if<Obstacle>(&instead)) {
        own->reason += fmt::format("; and {}", obstacle->reason);
        if (obstacle->code == RolloutDevice::NOT_GOOD_ENOUGH) continue;
        own->code = obstacle->code;
        break;
      }
      Give(row, *larger, std::get<Choice>(std::move(instead)));
      Explain(row, "a larger precision", *own);
      break;
    }
  }
  // Smaller ones take the place of what is too much, and stand by for a device that turns out to be
  // too slow. They have to be good enough, too.
  if (!own || own->too_much || !row.artifact().empty()) {
    for (const OfferedArtifact* smaller : candidates.smaller) {
      auto instead = consider(*smaller);
      auto* choice = std::get_if<Choice>(&instead);
      if (choice == nullptr) continue;
      if (!row.artifact().empty()) {
        row.add_step_down(smaller->artifact.name());
      } else {
        Give(row, *smaller, std::move(*choice));
        Explain(row, "a smaller precision", *own);
      }
    }
  }
  if (row.artifact().empty()) return Skip(row, own->code, own->reason);
  Move(row, RowEvent::kSuit, {});
  return row;
}

std::optional<std::string> WhyDamaged(const v1::RolloutDevice& row,
                                      const std::vector<OfferedArtifact>& artifacts) {
  for (const OfferedArtifact& offered : artifacts) {
    const v1::Artifact& artifact = offered.artifact;
    if (artifact.name() != row.artifact() || !artifact.has_damage()) continue;
    return fmt::format("{} ({}:{}) is damaged, and no device can download it: {} `{}`",
                       artifact.name(), artifact.format(), artifact.recipe(),
                       artifact.damage().job().empty() ? "make it again with"
                                                       : "a job makes it again, wait for it with",
                       artifact.damage().remedy());
  }
  return std::nullopt;
}

}  // namespace quantfleet::daemon
