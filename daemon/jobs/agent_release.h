// Turns programs of the agent into artifacts: finds them in a folder, and makes their chunks and
// manifests.
#pragma once

#include <stop_token>
#include <vector>

#include "common/base/file.h"
#include "common/base/status.h"
#include "pipeline/artifact/blob_store.h"
#include "pipeline/artifact/program/agent_program.h"
#include "quantfleet/v1/manifest.pb.h"

namespace quantfleet::daemon {

struct FoundAgent {
  fs::path path;
  pipeline::AgentProgram program;
};

// `path`: one program, or a folder of nothing but programs. INVALID_ARGUMENT: there is something
// else, two are for the same architecture, or there is none.
absl::StatusOr<std::vector<FoundAgent>> FindAgents(FileSystem& files, const fs::path& path);

// Stores the program's chunks durably and returns their manifest. CANCELLED: `stop`.
absl::StatusOr<v1::Manifest> StoreAgent(FileSystem& files, pipeline::BlobStore& blobs,
                                        const FoundAgent& agent, const std::stop_token& stop);

}  // namespace quantfleet::daemon
