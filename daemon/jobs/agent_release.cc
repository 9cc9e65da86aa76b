#include "daemon/jobs/agent_release.h"

#include <set>

#include "pipeline/artifact/encoding.h"
#include "pipeline/artifact/kind.h"
#include "pipeline/artifact/program/agent_release.h"

namespace quantfleet::daemon {

absl::StatusOr<std::vector<FoundAgent>> FindAgents(FileSystem& files, const fs::path& path) {
  std::vector<fs::path> paths = {path};
  std::error_code error;
  if (fs::is_directory(path, error)) {
    QF_ASSIGN_OR_RETURN(const std::vector<std::string> names, files.List(path));
    paths.clear();
    for (const std::string& name : names) paths.push_back(path / name);
  }
  std::vector<FoundAgent> agents;
  std::set<std::string> taken;
  for (const fs::path& one : paths) {
    FoundAgent agent{one, {}};
    QF_ASSIGN_OR_RETURN(agent.program, pipeline::ReadAgentProgram(files, one));
    if (!taken.insert(agent.program.architecture).second)
      return InvalidArgument("{}: more than one agent for {}: give one file per architecture",
                             one.string(), agent.program.architecture);
    agents.push_back(std::move(agent));
  }
  if (agents.empty()) return InvalidArgument("{}: contains no program of the agent", path.string());
  return agents;
}

absl::StatusOr<v1::Manifest> StoreAgent(FileSystem& files, pipeline::BlobStore& blobs,
                                        const FoundAgent& agent, const std::stop_token& stop) {
  v1::Manifest manifest;
  manifest.set_format_version(1);
  manifest.mutable_target()->set_format(std::string(pipeline::kAgentFormat));
  manifest.mutable_target()->set_recipe(agent.program.architecture);
  manifest.mutable_requirements();
  v1::ArtifactFile& file = *manifest.add_files();
  file.set_path(std::string(pipeline::kAgentFile));
  file.set_size(agent.program.size);
  QF_ASSIGN_OR_RETURN(const auto open, files.Open(agent.path, OpenMode::kOutside));
  Sha256 whole;
  Bytes buffer(std::min<uint64_t>(agent.program.size, pipeline::kMaxChunkBytes));
  for (uint64_t at = 0; at < agent.program.size; at += buffer.size()) {
    if (stop.stop_requested()) return Cancelled("stopped while storing {}", agent.path.string());
    const auto plain =
        MutableBytes(buffer).first(std::min<uint64_t>(buffer.size(), agent.program.size - at));
    QF_RETURN_IF_ERROR(open->ReadAt(at, plain));
    whole.Update(plain);
    const Digest digest = HashBytes(plain);
    QF_RETURN_IF_ERROR(blobs.Put(digest, plain, /*element_bytes=*/1).status());
    v1::Chunk& chunk = *file.add_chunks();
    chunk.set_digest(digest.raw());
    chunk.set_size(static_cast<uint32_t>(plain.size()));
  }
  manifest.mutable_source()->set_digest(whole.Finish().raw());
  manifest.mutable_source()->set_architecture(pipeline::AgentSource(agent.program.version));
  return manifest;
}

}  // namespace quantfleet::daemon
