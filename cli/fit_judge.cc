#include "cli/fit_judge.h"

#include "cli/progress.h"
#include "pipeline/artifact/entry_file.h"
#include "pipeline/stage/exact_copy.h"
#include "pipeline/stage/folder_sink.h"

namespace quantfleet::cli {
namespace {

using namespace quantfleet::pipeline;

struct Made {
  fs::path folder;
  v1::Manifest manifest;
};

absl::StatusOr<std::vector<Made>> Make(const ModelSource& source, const Plan& plan,
                                       const fs::path& out, const ExecutorOptions& execution) {
  QF_ASSIGN_OR_RETURN(const auto sink,
                      FolderSink::Open(RealFileSystem(), out, plan, {.replace = true}));
  QF_ASSIGN_OR_RETURN(const ExecutorResult result, Execute(source, plan, *sink, execution));
  QF_RETURN_IF_ERROR(sink->Finish(result.manifests));
  std::vector<Made> made;
  for (size_t t = 0; t < plan.targets.size(); ++t)
    made.push_back({sink->FolderOf(t), result.manifests[t]});
  return made;
}

// What the runtime computes with, for the engine.
absl::StatusOr<fs::path> Runnable(const ModelSource& source, const TargetSpec& spec,
                                  const Made& made, const fs::path& scratch,
                                  const ExecutorOptions& execution) {
  if (spec.format == kEngineFormat) return made.folder / EntryFile(made.manifest);
  std::vector<std::string> paths;
  for (const v1::ArtifactFile& file : made.manifest.files()) paths.push_back(file.path());
  QF_ASSIGN_OR_RETURN(
      ExactCopy copy,
      WriteDequantizedCopy(RealFileSystem(), made.folder, paths, spec.format, source.description(),
                           scratch / (spec.name() + "-values"), execution));
  return std::move(copy.file);
}

absl::StatusOr<std::unique_ptr<engine::Engine>> LoadFor(const fs::path& gguf, int64_t window,
                                                        int threads) {
  return engine::Engine::Load(
      gguf, {.threads = threads, .context = window, .kv_type = DType::kF32, .text = false});
}

}  // namespace

absl::StatusOr<std::vector<engine::Comparison>> Judge(const ModelSource& source, const Plan& plan,
                                                      const fs::path& reference,
                                                      const fs::path& scratch,
                                                      const JudgedText& text,
                                                      ExecutorOptions execution) {
  std::vector<Made> made;
  {
    ProgressLine line("quantize");
    execution.on_progress = [&line](const Progress& p) {
      line.Update(p.bytes_read, p.bytes_total);
    };
    QF_ASSIGN_OR_RETURN(made, Make(source, plan, scratch, execution));
  }
  execution.on_progress = {};
  QF_ASSIGN_OR_RETURN(const auto as_it_is, LoadFor(reference, text.window, execution.threads));
  std::vector<engine::Comparison> compared;
  for (size_t t = 0; t < made.size(); ++t) {
    QF_ASSIGN_OR_RETURN(const fs::path gguf,
                        Runnable(source, plan.targets[t].spec, made[t], scratch, execution));
    QF_ASSIGN_OR_RETURN(const auto candidate, LoadFor(gguf, text.window, execution.threads));
    QF_ASSIGN_OR_RETURN(compared.emplace_back(),
                        engine::Compare(*as_it_is, *candidate, text.tokens,
                                        {.window = text.window, .stop = execution.stop}));
  }
  return compared;
}

}  // namespace quantfleet::cli
