#include "agent/update/model_record.h"

#include <array>
#include <cstdlib>

#include "agent/platform/record.h"

namespace quantfleet::agent {
namespace {

using Outcome = ModelRecord::Outcome;

constexpr std::array<std::string_view, 4> kOutcomeNames = {"open", "healthy", "health_failed",
                                                           "removed"};

// A message as the text of one field.
template <typename Message>
std::string FieldOf(const Message& message) {
  return ToHex(AsBytes(message.SerializeAsString()));
}

// What an assignment says, in one field: the parts of it that no older version of this program kept
// in fields of their own.
v1::Assignment Terms(const ModelRecord& record) {
  v1::Assignment terms;
  *terms.mutable_network() = record.network;
  *terms.mutable_context() = record.context;
  terms.mutable_health()->set_soak_seconds(record.health.soak_seconds());
  for (const Digest& step : record.step_down) terms.add_step_down(step.raw());
  return terms;
}

v1::ModelStatus Steps(const ModelRecord& record) {
  v1::ModelStatus status;
  status.mutable_stepped_down()->Assign(record.stepped_down.begin(), record.stepped_down.end());
  return status;
}

template <typename Message>
bool Parse(const std::string& field, Message& message) {
  const auto bytes = FromHex(field);
  return bytes && message.ParseFromString(std::string(AsText(*bytes)));
}

}  // namespace

absl::StatusOr<ModelRecord> LoadModelRecord(FileSystem& files, const fs::path& model_folder) {
  const fs::path path = model_folder / "record.json";
  const auto fields = ReadRecord(files, path);
  if (fields.status().code() == absl::StatusCode::kNotFound) return ModelRecord{};
  if (!fields.ok()) return fields.status();
  ModelRecord record;
  const auto release = NumberField(*fields, "release");
  const auto outcome = std::ranges::find(kOutcomeNames, Field(*fields, "outcome"));
  if (!release || outcome == kOutcomeNames.end()) return DataLoss("{} is damaged", path.string());
  record.release = *release;
  record.outcome = static_cast<Outcome>(outcome - kOutcomeNames.begin());
  if (const std::string manifest = Field(*fields, "manifest"); !manifest.empty()) {
    QF_ASSIGN_OR_RETURN(record.manifest, Digest::FromHexText(manifest));
  }
  const auto real = [&](std::string_view name) {
    return std::strtod(Field(*fields, name).c_str(), nullptr);
  };
  record.health.set_min_golden_agreement(real("min_golden_agreement"));
  record.health.set_min_tokens_per_second(real("min_tokens_per_second"));
  record.health.set_min_memory_available_bytes(
      NumberField(*fields, "min_memory_available_bytes").value_or(0));
  if (const std::string runtime = Field(*fields, "runtime"); !runtime.empty())
    if (!Parse(runtime, record.runtime.emplace())) return DataLoss("{} is damaged", path.string());
  record.assigned = record.manifest;
  if (const std::string assigned = Field(*fields, "assigned"); !assigned.empty()) {
    QF_ASSIGN_OR_RETURN(record.assigned, Digest::FromHexText(assigned));
  }
  v1::Assignment terms;
  v1::ModelStatus steps;
  if (!Parse(Field(*fields, "terms"), terms) || !Parse(Field(*fields, "stepped_down"), steps))
    return DataLoss("{} is damaged", path.string());
  record.network = terms.network();
  record.context = terms.context();
  record.health.set_soak_seconds(terms.health().soak_seconds());
  for (const std::string& raw : terms.step_down()) {
    QF_ASSIGN_OR_RETURN(const Digest step, Digest::FromRaw(raw));
    record.step_down.push_back(step);
  }
  record.stepped_down.assign(steps.stepped_down().begin(), steps.stepped_down().end());
  record.ran_before = Field(*fields, "ran_before") == "1";
  record.attempts = static_cast<uint32_t>(NumberField(*fields, "attempts").value_or(0));
  record.reason = ReasonNamed(Field(*fields, "reason"));
  if (!record.reason && record.outcome == Outcome::kHealthFailed)
    record.reason = Reason::kHealthFailed;  // of version 0.1
  record.detail = Field(*fields, "detail");
  record.tokens_per_second = real("tokens_per_second");
  record.progress = {.total = NumberField(*fields, "bytes_total").value_or(0),
                     .done = NumberField(*fields, "bytes_done").value_or(0),
                     .pulled = NumberField(*fields, "bytes_pulled").value_or(0),
                     .paid = NumberField(*fields, "bytes_paid").value_or(0),
                     .reused = NumberField(*fields, "bytes_reused").value_or(0)};
  return record;
}

absl::Status SaveModelRecord(FileSystem& files, const fs::path& model_folder,
                             const ModelRecord& record) {
  return WriteRecord(
      files, model_folder / "record.json",
      {{"release", std::to_string(record.release)},
       {"manifest", record.manifest ? record.manifest->hex() : ""},
       {"outcome", std::string(kOutcomeNames[static_cast<size_t>(record.outcome)])},
       {"min_golden_agreement", fmt::format("{}", record.health.min_golden_agreement())},
       {"min_tokens_per_second", fmt::format("{}", record.health.min_tokens_per_second())},
       {"min_memory_available_bytes", std::to_string(record.health.min_memory_available_bytes())},
       {"runtime", record.runtime ? FieldOf(*record.runtime) : ""},
       {"assigned", record.assigned ? record.assigned->hex() : ""},
       {"terms", FieldOf(Terms(record))},
       {"ran_before", record.ran_before ? "1" : "0"},
       {"attempts", std::to_string(record.attempts)},
       {"stepped_down", FieldOf(Steps(record))},
       {"reason", record.reason ? std::string(NameOf(*record.reason)) : ""},
       {"detail", record.detail},
       {"tokens_per_second", fmt::format("{:.2f}", record.tokens_per_second)},
       {"bytes_total", std::to_string(record.progress.total)},
       {"bytes_done", std::to_string(record.progress.done)},
       {"bytes_pulled", std::to_string(record.progress.pulled)},
       {"bytes_paid", std::to_string(record.progress.paid)},
       {"bytes_reused", std::to_string(record.progress.reused)}});
}

}  // namespace quantfleet::agent
