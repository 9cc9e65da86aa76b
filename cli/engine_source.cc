#include "cli/engine_source.h"

#include "cli/command.h"
#include "cli/progress.h"
#include "pipeline/stage/exact_copy.h"

namespace quantfleet::cli {

using namespace quantfleet::pipeline;

std::optional<fs::path> RunsAsItIs(const ModelFiles& files) {
  if (!files.gguf || files.files.size() != 1) return std::nullopt;
  return files.folder / files.files.front().name;
}

absl::StatusOr<EngineSource> MakeEngineSource(const ModelFiles& model, const ModelSource& source,
                                              const fs::path& scratch, bool resume,
                                              ExecutorOptions execution) {
  FileSystem& files = RealFileSystem();
  const fs::path note = scratch / "source";
  const std::string fingerprint = HashText(source.fingerprint().text).hex();
  QF_RETURN_IF_ERROR(files.CreateDirectories(scratch));
  if (resume && files.Exists(note)) {
    QF_ASSIGN_OR_RETURN(const std::string found, files.ReadAll(note));
    const std::string_view text = found;
    const size_t hex = 2 * Digest::kSize;
    if (text.starts_with(fingerprint) && text.size() > 2 * hex + 2) {
      const fs::path gguf = text.substr(2 * hex + 2);
      if (files.Exists(gguf)) {
        QF_ASSIGN_OR_RETURN(const Digest digest, Digest::FromHexText(text.substr(hex + 1, hex)));
        return EngineSource{gguf, digest};
      }
    }
  }
  ProgressLine line("read");
  execution.on_progress = [&line](const Progress& p) { line.Update(p.bytes_read, p.bytes_total); };
  EngineSource made;
  if (const std::optional<fs::path> gguf = RunsAsItIs(model)) {
    made.gguf = *gguf;
    QF_ASSIGN_OR_RETURN(made.source, SourceDigestOf(source, execution));
  } else {
    Say(fmt::format("a copy of the model as GGUF ({}) is made in {}, and removed in the end",
                    ExactRecipe(source.description()), scratch.string()));
    QF_ASSIGN_OR_RETURN(ExactCopy copy,
                        WriteExactCopy(files, source, scratch / "model", execution));
    made = {std::move(copy.file), copy.source_digest};
  }
  QF_RETURN_IF_ERROR(files.WriteAtomically(
      note, AsBytes(fmt::format("{} {} {}", fingerprint, made.source.hex(), made.gguf.string()))));
  return made;
}

}  // namespace quantfleet::cli
