#include "engine/calibrate/preparation.h"

#include <cstring>

#include "pipeline/stage/exact_copy.h"

namespace quantfleet::engine {

std::optional<fs::path> RunsAsItIs(const pipeline::ModelFiles& files) {
  if (!files.gguf || files.files.size() != 1 || !files.adapters.empty()) return std::nullopt;
  return files.folder / files.files.front().name;
}

absl::StatusOr<RunnableSource> MakeRunnable(FileSystem& files, const pipeline::ModelSource& source,
                                            const pipeline::ModelFiles& model,
                                            const fs::path& scratch,
                                            const RunnableSourceOptions& options) {
  const fs::path note = scratch / "source";
  const std::string fingerprint = HashText(source.fingerprint().text).hex();
  QF_RETURN_IF_ERROR(files.CreateDirectories(scratch));
  if (options.resume && files.Exists(note)) {
    QF_ASSIGN_OR_RETURN(const std::string found, files.ReadAll(note));
    const std::string_view text = found;
    const size_t hex = 2 * Digest::kSize;
    if (text.starts_with(fingerprint) && text.size() > 2 * hex + 2) {
      const fs::path gguf = text.substr(2 * hex + 2);
      if (files.Exists(gguf)) {
        QF_ASSIGN_OR_RETURN(const Digest digest, Digest::FromHexText(text.substr(hex + 1, hex)));
        return RunnableSource{gguf, digest};
      }
    }
  }
  RunnableSource made;
  if (const std::optional<fs::path> own = RunsAsItIs(model)) {
    made.gguf = *own;
    QF_ASSIGN_OR_RETURN(made.digest, pipeline::SourceDigestOf(source, options.execution));
  } else {
    if (options.on_copy) options.on_copy();
    QF_ASSIGN_OR_RETURN(
        pipeline::ExactCopy copy,
        pipeline::WriteExactCopy(files, source, scratch / "model", options.execution));
    made = {std::move(copy.file), copy.source_digest};
  }
  QF_RETURN_IF_ERROR(files.WriteAtomically(
      note, AsBytes(fmt::format("{} {} {}", fingerprint, made.digest.hex(), made.gguf.string()))));
  return made;
}

absl::StatusOr<std::vector<int32_t>> WriteOrFindSelfText(FileSystem& files, RunnableModel& model,
                                                         const text::Tokenizer& tokenizer,
                                                         const CalibrationFolder& folder,
                                                         const Digest& source, bool resume,
                                                         const SelfTextOptions& options) {
  const fs::path path = folder.scratch() / "text";
  const std::string key = HashText(fmt::format("{} {} {} {}", source.hex(), options.seed,
                                               options.chunk, options.chunks))
                              .hex();
  std::vector<int32_t> tokens(static_cast<size_t>(options.chunk * options.chunks));
  if (resume && files.Exists(path)) {
    const size_t size = tokens.size() * sizeof(int32_t);
    QF_ASSIGN_OR_RETURN(const std::string kept, files.ReadAll(path));
    if (kept.starts_with(key) && kept.size() == key.size() + size) {
      std::memcpy(tokens.data(), kept.data() + key.size(), size);
      return tokens;
    }
  }
  QF_ASSIGN_OR_RETURN(tokens, WriteSelfText(model, tokenizer, options));
  QF_RETURN_IF_ERROR(files.WriteAtomically(
      path, AsBytes(key + std::string(AsText(std::as_bytes(std::span(tokens)))))));
  return tokens;
}

}  // namespace quantfleet::engine
