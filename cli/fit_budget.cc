#include "cli/fit_budget.h"

#include "common/toml/toml_reader.h"

namespace quantfleet::cli {
namespace {

constexpr uint64_t kMaxClassBytes = uint64_t{64} << 10;
constexpr int64_t kMost = int64_t{1} << 40;

std::string MemoryText(const pipeline::RunWish& run) {
  return fmt::format("{} of memory{}{}", HumanBytes(run.device_bytes),
                     run.context == 0 ? "" : fmt::format(" with {} tokens of context", run.context),
                     run.kv_type.empty() ? "" : fmt::format(" in {}", run.kv_type));
}

std::string MemoryName(const pipeline::RunWish& run) {
  return fmt::format("fit-{}mib{}", run.device_bytes >> 20,
                     run.context == 0 ? "" : fmt::format("-{}", run.context));
}

}  // namespace

absl::StatusOr<FitBudget> ReadBudget(FileSystem& files, const BudgetWords& words) {
  FitBudget out;
  out.budget.run = {words.context, words.kv_type, words.device_mib << 20};
  if (words.bytes > 0) {
    out.budget.bytes = words.bytes;
    out.text = fmt::format("{} bytes", words.bytes);
    out.name = fmt::format("fit-{}", words.bytes);
    return out;
  }
  if (!words.class_file.empty()) {
    QF_ASSIGN_OR_RETURN(const std::string toml, files.ReadAll(words.class_file, kMaxClassBytes));
    auto reader = TomlReader::Parse(toml);
    if (!reader.ok()) return Annotate(reader.status(), words.class_file);
    // Its other keys are the daemon's affair.
    int64_t mib = 0, context = 0;
    double headroom = 1;
    std::string name, kv_type;
    reader->Read("name", name);
    reader->Read("format", out.format);
    reader->Read("match.min_memory_mib", mib, 0, kMost);
    reader->Read("memory_headroom", headroom, 1.0, 100.0);
    reader->Read("context", context, 1, kMost);
    reader->Read("kv_type", kv_type);
    if (mib == 0)
      return InvalidArgument(
          "{}: the class does not say how much memory its devices have (match.min_memory_mib): use "
          "--bytes or --device-memory",
          words.class_file);
    pipeline::RunWish& run = out.budget.run;
    run.device_bytes =
        static_cast<uint64_t>(static_cast<double>(static_cast<uint64_t>(mib) << 20) / headroom);
    if (run.context == 0) run.context = static_cast<uint64_t>(context);
    if (run.kv_type.empty()) run.kv_type = kv_type;
  }
  out.text = MemoryText(out.budget.run);
  out.name = MemoryName(out.budget.run);
  return out;
}

}  // namespace quantfleet::cli
