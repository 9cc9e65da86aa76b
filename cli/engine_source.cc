#include "cli/engine_source.h"

#include "cli/command.h"
#include "cli/progress.h"
#include "pipeline/stage/exact_copy.h"

namespace quantfleet::cli {

absl::StatusOr<engine::RunnableSource> MakeEngineSource(const pipeline::ModelFiles& files,
                                                        const pipeline::ModelSource& source,
                                                        const fs::path& scratch, bool resume,
                                                        pipeline::ExecutorOptions execution) {
  ProgressLine line("read");
  execution.on_progress = [&line](const pipeline::Progress& p) {
    line.Update(p.bytes_read, p.bytes_total);
  };
  return engine::MakeRunnable(
      RealFileSystem(), source, files, scratch,
      {.resume = resume, .execution = std::move(execution), .on_copy = [&] {
         Say(fmt::format("a copy of the model as GGUF ({}) is made in {}, and removed in the end",
                         pipeline::ExactRecipe(source.description()), scratch.string()));
       }});
}

}  // namespace quantfleet::cli
