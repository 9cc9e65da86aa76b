#include "cli/fit_judge.h"

#include "cli/progress.h"
#include "pipeline/artifact/entry_file.h"
#include "pipeline/format/registry/open_model.h"
#include "pipeline/format/registry/registry.h"
#include "pipeline/stage/folder_sink.h"

namespace quantfleet::cli {
namespace {

using namespace quantfleet::pipeline;

struct Made {
  fs::path folder;
  std::string entry;
};

absl::StatusOr<std::vector<Made>> Make(const ModelSource& source, const Plan& plan,
                                       const fs::path& out, const ExecutorOptions& execution) {
  QF_ASSIGN_OR_RETURN(const auto sink,
                      FolderSink::Open(RealFileSystem(), out, plan, {.replace = true}));
  QF_ASSIGN_OR_RETURN(const ExecutorResult result, Execute(source, plan, *sink, execution));
  QF_RETURN_IF_ERROR(sink->Finish(result.manifests));
  std::vector<Made> made;
  for (size_t t = 0; t < plan.targets.size(); ++t)
    made.push_back({sink->FolderOf(t), EntryFile(result.manifests[t])});
  return made;
}

// What the runtime computes with, for the engine.
absl::StatusOr<fs::path> Runnable(const TargetSpec& spec, const Made& made, const fs::path& scratch,
                                  const ExecutorOptions& execution) {
  if (spec.format == kEngineFormat) return made.folder / made.entry;
  QF_ASSIGN_OR_RETURN(const auto source, OpenModel(RealFileSystem(), made.folder));
  QF_ASSIGN_OR_RETURN(const Plan plan, MakePlan(*source, {{std::string(kEngineFormat), "f16"}}));
  QF_ASSIGN_OR_RETURN(const std::vector<Made> copy,
                      Make(*source, plan, scratch / (spec.name() + "-values"), execution));
  return copy[0].folder / copy[0].entry;
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
                        Runnable(plan.targets[t].spec, made[t], scratch, execution));
    QF_ASSIGN_OR_RETURN(const auto candidate, LoadFor(gguf, text.window, execution.threads));
    QF_ASSIGN_OR_RETURN(compared.emplace_back(),
                        engine::Compare(*as_it_is, *candidate, text.tokens,
                                        {.window = text.window, .stop = execution.stop}));
  }
  return compared;
}

}  // namespace quantfleet::cli
