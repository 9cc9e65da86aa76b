#include "cli/compared_model.h"

#include <algorithm>

#include "cli/progress.h"
#include "common/base/outside_text.h"
#include "pipeline/artifact/entry_file.h"
#include "pipeline/artifact/manifest.h"
#include "pipeline/artifact/verify.h"
#include "pipeline/format/registry/open_model.h"
#include "pipeline/format/registry/registry.h"
#include "pipeline/stage/exact_copy.h"
#include "pipeline/tensor/rounding/rounder.h"

namespace quantfleet::cli {
namespace {

using namespace quantfleet::pipeline;

absl::StatusOr<ComparedModel> OpenArtifact(FileSystem& files, const fs::path& folder,
                                           const std::stop_token& stop) {
  ComparedModel model;
  QF_ASSIGN_OR_RETURN(model.manifest, ReadManifest(files, folder / kManifestFile));
  const v1::Manifest& manifest = *model.manifest;
  model.bytes = ArtifactBytes(manifest);
  {
    ProgressLine line("verify");
    QF_RETURN_IF_ERROR(VerifyFolder(
        files, folder, manifest, [&](uint64_t done) { line.Update(done, model.bytes); }, stop));
  }
  model.target = fmt::format("{}:{}", manifest.target().format(), manifest.target().recipe());
  if (const std::string rounding = RoundingOf(manifest); rounding != Name(Rounding::kNearest))
    model.target += ", " + rounding;
  if (IsFolded(manifest)) model.target += ", folded";
  const TargetFormat* format = FindFormat(manifest.target().format());
  if (format == nullptr)
    return InvalidArgument("{}: artifacts of format '{}' are not models that can be compared",
                           folder.string(), Shown(manifest.target().format(), 32));
  // By a change of the recipe, as a recipe's own name need not be known.
  for (const std::string& change : manifest.target().changes())
    if (change.starts_with("ranges="))
      return Unimplemented(
          "{}: its activations have fixed scales, which the embedded engine does not apply: run it "
          "by ONNX Runtime",
          folder.string());
  if (!format->stored) {
    model.gguf = folder / EntryFile(manifest);
    model.own = true;
    QF_ASSIGN_OR_RETURN(model.source, OpenModel(files, model.gguf));
  } else if (auto source = OpenModel(files, folder); source.ok()) {
    model.source = *std::move(source);  // MLX's folders say what they are
  }
  return model;
}

absl::StatusOr<ComparedModel> OpenPlain(FileSystem& files, const fs::path& path) {
  ComparedModel model;
  QF_ASSIGN_OR_RETURN(const ModelFiles found, ResolveModel(files, path));
  QF_ASSIGN_OR_RETURN(model.source, OpenModel(files, found));
  for (const ModelFile& file : found.files) model.bytes += file.size;
  model.target = model.source->format();
  if (found.gguf && found.files.size() == 1) {
    model.gguf = found.folder / found.files.front().name;
    model.own = true;
  }
  return model;
}

bool IsUsed(const text::Token& token) { return token.type != text::TokenType::kUnused; }

}  // namespace

absl::StatusOr<ComparedModel> OpenCompared(FileSystem& files, const std::string& path,
                                           const std::stop_token& stop) {
  absl::StatusOr<ComparedModel> model = files.Exists(fs::path(path) / kManifestFile)
                                            ? OpenArtifact(files, path, stop)
                                            : OpenPlain(files, path);
  if (!model.ok()) return model.status();
  model->path = path;
  if (model->source != nullptr && model->source->description().embedding)
    return InvalidArgument(
        "{}: it is an embedding model, and has no likelihoods of tokens to compare", path);
  return model;
}

absl::Status CheckSameVocabulary(const ComparedModel& a, const ComparedModel& b) {
  if (a.source == nullptr || b.source == nullptr) return absl::OkStatus();
  const ModelDescription &one = a.source->description(), &other = b.source->description();
  constexpr std::string_view kWhy =
      "how likely a model finds a token can only be compared between models of the same vocabulary";
  if (one.hyper.vocab != other.hyper.vocab)
    return InvalidArgument("{} has a vocabulary of {} tokens, and {} one of {}: {}", a.path,
                           one.hyper.vocab, b.path, other.hyper.vocab, kWhy);
  const auto &left = one.tokenizer.tokens, &right = other.tokenizer.tokens;
  for (size_t id = 0; id < std::min(left.size(), right.size()); ++id)
    if (IsUsed(left[id]) && IsUsed(right[id]) && left[id].text != right[id].text)
      return InvalidArgument("token {} is \"{}\" in {}, and \"{}\" in {}: {}", id,
                             Shown(left[id].text, 32), a.path, Shown(right[id].text, 32), b.path,
                             kWhy);
  return absl::OkStatus();
}

absl::Status MakeRunnable(FileSystem& files, ComparedModel& model,
                          std::span<const ComparedModel* const> others, const fs::path& folder,
                          const ExecutorOptions& options) {
  if (!model.gguf.empty()) return absl::OkStatus();
  ExecutorOptions execution = options;
  ProgressLine line("read");
  execution.on_progress = [&line](const Progress& p) { line.Update(p.bytes_read, p.bytes_total); };
  const auto teller = std::ranges::find_if(
      others, [](const ComparedModel* other) { return other->source != nullptr; });
  absl::StatusOr<ExactCopy> copy;
  if (model.manifest && teller != others.end()) {
    std::vector<std::string> paths;
    for (const v1::ArtifactFile& file : model.manifest->files()) paths.push_back(file.path());
    copy = WriteDequantizedCopy(files, model.path, paths, model.manifest->target().format(),
                                (*teller)->source->description(), folder, execution);
  } else if (model.source != nullptr) {
    copy = WriteExactCopy(files, *model.source, folder, execution);
  } else {
    return FailedPrecondition(
        "{}: its files do not say what model it was made of: name that with --reference",
        model.path);
  }
  if (!copy.ok()) return Annotate(copy.status(), model.path);
  model.gguf = std::move(copy->file);
  return absl::OkStatus();
}

}  // namespace quantfleet::cli
