// A model as the embedded engine can run it: its own file, or a copy made of it.
#pragma once

#include "engine/calibrate/preparation.h"

namespace quantfleet::cli {

// engine::MakeRunnable, with progress; that a copy is made is said on stderr.
absl::StatusOr<engine::RunnableSource> MakeEngineSource(const pipeline::ModelFiles& files,
                                                        const pipeline::ModelSource& source,
                                                        const fs::path& scratch, bool resume,
                                                        pipeline::ExecutorOptions execution);

}  // namespace quantfleet::cli
