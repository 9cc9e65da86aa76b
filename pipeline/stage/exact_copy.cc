#include "pipeline/stage/exact_copy.h"

#include <algorithm>

#include "pipeline/artifact/entry_file.h"
#include "pipeline/format/registry/dequantized_source.h"
#include "pipeline/format/registry/registry.h"
#include "pipeline/stage/plan_text.h"

namespace quantfleet::pipeline {

std::string_view ExactRecipe(const ModelDescription& model) {
  const auto all_are = [&](DType dtype) {
    return std::ranges::all_of(
        model.tensors, [&](const SourceTensor& t) { return t.dims < 2 || t.dtype == dtype; });
  };
  if (all_are(DType::kBF16)) return "bf16";
  if (all_are(DType::kF16)) return "f16";
  return "f32";
}

namespace {

absl::StatusOr<Plan> PlanOfCopy(const ModelSource& source) {
  return MakePlan(source,
                  {{std::string(kEngineFormat), std::string(ExactRecipe(source.description()))}});
}

}  // namespace

absl::StatusOr<uint64_t> ExactCopyBytes(const ModelSource& source) {
  QF_ASSIGN_OR_RETURN(const Plan plan, PlanOfCopy(source));
  return TargetBytes(plan.targets.front());
}

absl::StatusOr<ExactCopy> WriteExactCopy(FileSystem& files, const ModelSource& source,
                                         const fs::path& folder, const ExecutorOptions& options) {
  QF_ASSIGN_OR_RETURN(const Plan plan, PlanOfCopy(source));
  QF_ASSIGN_OR_RETURN(const auto sink, FolderSink::Open(files, folder, plan, {.replace = true}));
  QF_ASSIGN_OR_RETURN(const ExecutorResult made, Execute(source, plan, *sink, options));
  QF_RETURN_IF_ERROR(sink->Finish(made.manifests));
  const std::string name = EntryFile(made.manifests[0]);
  if (name.empty()) return Internal("the artifact has no .gguf file");
  return ExactCopy{sink->FolderOf(0) / name, made.source_digest};
}

absl::StatusOr<ExactCopy> WriteDequantizedCopy(FileSystem& files, const fs::path& artifact,
                                               const std::vector<std::string>& files_of_it,
                                               std::string_view format,
                                               const ModelDescription& model,
                                               const fs::path& folder,
                                               const ExecutorOptions& options) {
  QF_ASSIGN_OR_RETURN(const auto values,
                      DequantizedSource::Open(files, artifact, files_of_it, format, model));
  return WriteExactCopy(files, *values, folder, options);
}

}  // namespace quantfleet::pipeline
