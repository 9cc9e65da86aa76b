#include "cli/fit_budget.h"

#include "pipeline/device/device_class.h"

namespace quantfleet::cli {
namespace {

constexpr uint64_t kMaxClassBytes = uint64_t{64} << 10;

std::string MemoryText(const pipeline::RunWish& run) {
  return fmt::format("{} of memory{}{}", HumanBytes(run.device_bytes),
                     run.context == 0 ? "" : fmt::format(" with {} tokens of context", run.context),
                     run.kv_type.empty() ? "" : fmt::format(" in {}", run.kv_type));
}

std::string MemoryName(const pipeline::RunWish& run) {
  return fmt::format("fit-{}mib{}", run.device_bytes >> 20,
                     run.context == 0 ? "" : fmt::format("-{}", run.context));
}

// What the words leave open is as the class has it.
absl::Status FromClass(FileSystem& files, const std::string& file, FitBudget& out) {
  QF_ASSIGN_OR_RETURN(const std::string toml, files.ReadAll(file, kMaxClassBytes));
  const auto spec = pipeline::ParseDeviceClass(toml);
  if (!spec.ok()) return Annotate(spec.status(), file);
  if (spec->artifact_max_bytes == 0 && spec->match.min_memory_mib == 0)
    return InvalidArgument(
        "{}: the class says neither how many bytes an artifact may have (artifact_max_bytes) nor "
        "how much memory its devices have (match.min_memory_mib): use --bytes or --device-memory",
        file);
  out.format = spec->format;
  out.budget.bytes = spec->artifact_max_bytes;
  pipeline::RunWish& run = out.budget.run;
  run.device_bytes = static_cast<uint64_t>(static_cast<double>(spec->match.min_memory_mib << 20) /
                                           spec->memory_headroom);
  if (run.context == 0) run.context = spec->context.tokens();
  if (run.kv_type.empty()) run.kv_type = spec->context.kv_type();
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<FitBudget> ReadBudget(FileSystem& files, const BudgetWords& words) {
  FitBudget out;
  pipeline::MixBudget& budget = out.budget;
  budget = {words.bytes, {words.context, words.kv_type, words.device_mib << 20}};
  if (!words.class_file.empty()) QF_RETURN_IF_ERROR(FromClass(files, words.class_file, out));
  if (budget.bytes > 0) {
    out.text = fmt::format("{} bytes", budget.bytes);
    out.name = fmt::format("fit-{}", budget.bytes);
  }
  if (budget.run.device_bytes > 0) {
    out.text += (out.text.empty() ? "" : " and ") + MemoryText(budget.run);
    if (out.name.empty()) out.name = MemoryName(budget.run);
  }
  return out;
}

}  // namespace quantfleet::cli
