#include "daemon/jobs/evaluator.h"

#include <algorithm>
#include <memory>

#include "common/base/fail_point.h"
#include "engine/measure/comparison.h"
#include "engine/measure/embedding_comparison.h"
#include "engine/measure/evaluation_text.h"
#include "engine/measure/golden.h"
#include "pipeline/artifact/entry_file.h"
#include "pipeline/artifact/manifest.h"
#include "pipeline/model/running_memory.h"
#include "pipeline/stage/exact_copy.h"

namespace quantfleet::daemon {
namespace {

using engine::Engine;
using engine::EngineOptions;

// For an artifact of the engine's format; there may be attachments beside it.
absl::StatusOr<std::string> ModelFile(const v1::Manifest& manifest) {
  std::string file = pipeline::EntryFile(manifest);
  if (file.empty()) return Internal("the artifact has no .gguf file");
  return file;
}

// The folder exists as long as this object.
class Scratch {
 public:
  Scratch(FileSystem& files, fs::path folder) : files_(files), folder_(std::move(folder)) {
    Clear();
  }
  ~Scratch() { Clear(); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

 private:
  void Clear() { files_.RemoveTree(folder_).IgnoreError(); }
  FileSystem& files_;
  const fs::path folder_;
};

void Fill(v1::EvaluationStatement& statement, const engine::Comparison& comparison) {
  statement.set_tokens(static_cast<uint64_t>(comparison.tokens));
  statement.set_mean_nll(comparison.mean_nll);
  statement.set_reference_mean_nll(comparison.reference_mean_nll);
  statement.set_top1_agreement(comparison.top1_agreement);
  statement.set_mean_kl(comparison.mean_kl);
  statement.set_kl_error(comparison.kl_error);
  statement.set_kl_p99(comparison.kl_p99);
  statement.set_nll_error(comparison.nll_error);
}

// Stands in for a cache that the engine does not have: MLX keeps BF16, in as many bytes.
absl::StatusOr<pipeline::DType> KvTypeFor(std::string_view kv_type) {
  QF_ASSIGN_OR_RETURN(const pipeline::DType type, pipeline::DTypeFromName(kv_type));
  return pipeline::IsCacheType(type) ? type : pipeline::DType::kF16;
}

EvaluationOptions WithShipped(EvaluationOptions options) {
  if (options.text.empty()) options.text = engine::ShippedEvaluationText();
  if (options.prompts.empty())
    options.prompts.assign(engine::ShippedGoldenPrompts().begin(),
                           engine::ShippedGoldenPrompts().end());
  return options;
}

}  // namespace

Evaluator::Evaluator(Collaborators with, EvaluationOptions options, fs::path scratch, int threads,
                     uint64_t memory_bytes)
    : with_(with),
      options_(WithShipped(std::move(options))),
      scratch_(std::move(scratch)),
      threads_(threads),
      memory_bytes_(memory_bytes) {
  if (enabled()) const Scratch emptied(with_.files, scratch_);
}

Digest Evaluator::text_digest() const {
  std::string all =
      fmt::format("{} {}\n{}", options_.tokens, options_.golden_tokens, options_.text);
  for (const std::string& prompt : options_.prompts) all += '\0' + prompt;
  return HashText(all);
}

struct Evaluator::Reference {
  fs::path file;
  std::unique_ptr<engine::Engine> engine;
  uint64_t context = 0;  // of the engine
  std::string_view recipe;
  std::vector<int32_t> tokens;                 // of the text; none: it is not of the model's kind
  std::vector<std::vector<int32_t>> passages;  // of the text, for an embedding model alone
};

pipeline::ExecutorOptions Evaluator::CopyOptions(const std::stop_token& stop) const {
  return {.threads = threads_, .memory_bytes = memory_bytes_, .stop = stop};
}

absl::StatusOr<Evaluator::Reference> Evaluator::MakeReference(const pipeline::ModelSource& source,
                                                              const std::stop_token& stop) {
  Reference reference;
  reference.recipe = pipeline::ExactRecipe(source.description());
  QF_ASSIGN_OR_RETURN(
      pipeline::ExactCopy copy,
      pipeline::WriteExactCopy(with_.files, source, scratch_ / "reference", CopyOptions(stop)));
  reference.file = std::move(copy.file);
  QF_RETURN_IF_ERROR(LoadReference(reference, 0));
  if (reference.engine->embedding() != nullptr) {
    QF_ASSIGN_OR_RETURN(reference.passages,
                        engine::PassagesOf(*reference.engine, options_.text, options_.tokens));
    return reference;
  }
  QF_ASSIGN_OR_RETURN(reference.tokens,
                      engine::EvaluationTokens(*reference.engine, options_.text, options_.tokens));
  QF_ASSIGN_OR_RETURN(const engine::EvalResult read,
                      reference.engine->EvaluateTokens(reference.tokens, 0));
  if (engine::IsOfAnotherKind(read.mean_nll, reference.engine->vocab())) reference.tokens.clear();
  return reference;
}

absl::Status Evaluator::LoadReference(Reference& reference, uint64_t context) {
  if (reference.engine != nullptr && reference.context == context) return absl::OkStatus();
  reference.engine.reset();
  engine::EngineOptions options{.threads = threads_,
                                .context = static_cast<int64_t>(context),
                                .kv_type = pipeline::DType::kF32};
  QF_ASSIGN_OR_RETURN(reference.engine, engine::Engine::Load(reference.file, options));
  reference.context = context;
  return absl::OkStatus();
}

absl::Status Evaluator::Unpack(const v1::Manifest& manifest, const fs::path& folder,
                               const std::stop_token& stop) {
  QF_RETURN_IF_ERROR(with_.files.CreateDirectories(folder));
  uint64_t size = 0;
  for (const v1::ArtifactFile& file : manifest.files()) size += file.size();
  QF_ASSIGN_OR_RETURN(const uint64_t free, with_.files.FreeSpace(folder));
  if (free < size)
    return ResourceExhausted("{}: a plain copy needs {}, but the disk has only {} free",
                             folder.string(), HumanBytes(size), HumanBytes(free));
  for (const v1::ArtifactFile& file : manifest.files()) {
    const fs::path path = folder / file.path();
    QF_RETURN_IF_ERROR(with_.files.CreateDirectories(path.parent_path()));
    QF_ASSIGN_OR_RETURN(const auto out, with_.files.Open(path, OpenMode::kCreate));
    uint64_t at = 0;
    for (const v1::Chunk& chunk : file.chunks()) {
      if (stop.stop_requested()) return Cancelled("stopped while unpacking an artifact");
      QF_ASSIGN_OR_RETURN(const Digest digest, Digest::FromRaw(chunk.digest()));
      QF_ASSIGN_OR_RETURN(const Bytes plain, with_.blobs.Read(digest, chunk.size()));
      QF_RETURN_IF_ERROR(out->WriteAt(at, plain));
      at += chunk.size();
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<fs::path> Evaluator::MakeRunnable(const pipeline::ModelDescription& model,
                                                 const v1::Manifest& manifest,
                                                 const fs::path& folder,
                                                 const std::stop_token& stop) {
  const fs::path sealed = folder / "sealed";
  QF_RETURN_IF_ERROR(Unpack(manifest, sealed, stop));
  if (manifest.target().format() == pipeline::kEngineFormat) {
    QF_ASSIGN_OR_RETURN(const std::string name, ModelFile(manifest));
    return sealed / name;
  }
  std::vector<std::string> paths;
  for (const v1::ArtifactFile& file : manifest.files()) paths.push_back(file.path());
  QF_ASSIGN_OR_RETURN(
      pipeline::ExactCopy copy,
      pipeline::WriteDequantizedCopy(with_.files, sealed, paths, manifest.target().format(), model,
                                     folder / "dequantized", CopyOptions(stop)));
  QF_RETURN_IF_ERROR(with_.files.RemoveTree(sealed));
  return std::move(copy.file);
}

absl::StatusOr<v1::EvaluationStatement> Evaluator::Measure(const pipeline::ModelDescription& model,
                                                           const Wanted& wanted,
                                                           const Reference& reference,
                                                           const std::stop_token& stop) {
  const v1::Manifest& manifest = wanted.manifest;
  const Scratch folder(with_.files, scratch_ / "artifact");
  QF_ASSIGN_OR_RETURN(const fs::path file,
                      MakeRunnable(model, manifest, scratch_ / "artifact", stop));
  QF_ASSIGN_OR_RETURN(const pipeline::DType kv_type, KvTypeFor(wanted.kv_type));
  engine::EngineOptions engine_options{
      .threads = threads_, .context = static_cast<int64_t>(wanted.context), .kv_type = kv_type};
  QF_ASSIGN_OR_RETURN(const auto engine, engine::Engine::Load(file, engine_options));
  v1::EvaluationStatement statement;
  if (!reference.tokens.empty()) {
    QF_ASSIGN_OR_RETURN(
        const engine::Comparison compared,
        engine::Compare(*reference.engine, *engine, reference.tokens, {.stop = stop}));
    Fill(statement, compared);
  }
  if (!reference.passages.empty()) {
    QF_ASSIGN_OR_RETURN(
        const engine::EmbeddingComparison compared,
        engine::CompareEmbeddings(*reference.engine, *engine, reference.passages, stop));
    statement.set_vectors(static_cast<uint64_t>(compared.vectors));
    statement.set_mean_cosine(compared.mean_cosine);
    statement.set_least_cosine(compared.least_cosine);
  }
  for (const std::string& prompt : options_.prompts) {
    if (stop.stop_requested()) return Cancelled("stopped while evaluating golden prompts");
    QF_ASSIGN_OR_RETURN(const engine::Golden golden,
                        engine::MakeGolden(*engine, prompt, options_.golden_tokens));
    v1::GoldenPrompt& out = *statement.add_golden();
    out.mutable_prompt()->Add(golden.prompt.begin(), golden.prompt.end());
    out.mutable_answer()->Add(golden.answer.begin(), golden.answer.end());
    out.mutable_vector()->Add(golden.vector.begin(), golden.vector.end());
  }
  const bool as_sealed = manifest.target().format() == pipeline::kEngineFormat;
  statement.set_weights(as_sealed ? v1::EvaluationStatement::AS_SEALED
                                  : v1::EvaluationStatement::DEQUANTIZED);
  statement.set_manifest_digest(pipeline::ManifestDigest(manifest).raw());
  statement.set_kv_type(wanted.kv_type);
  statement.set_context(static_cast<uint64_t>(engine->context()));
  statement.set_text_digest(text_digest().raw());
  statement.set_reference(fmt::format("{}:{}", pipeline::kEngineFormat, reference.recipe));
  statement.set_engine(fmt::format("quantfleet {}", QUANTFLEET_VERSION));
  statement.set_evaluated_ms(ToUnixMillis(with_.clock.Now()));
  return statement;
}

absl::StatusOr<Evaluator::Evaluations> Evaluator::Evaluate(const pipeline::ModelSource& source,
                                                           const std::vector<Wanted>& wanted,
                                                           const std::stop_token& stop) {
  Evaluations evaluations;
  if (!enabled() || wanted.empty()) return evaluations;
  const Scratch scratch(with_.files, scratch_);
  QF_RETURN_IF_ERROR(with_.files.CreateDirectories(scratch_));
  QF_ASSIGN_OR_RETURN(Reference reference, MakeReference(source, stop));
  FailPoint("job-reference-made");
  // One after the other: plain copies and caches of one artifact at a time.
  for (const Wanted& one : wanted) {
    QF_RETURN_IF_ERROR(LoadReference(reference, one.context));
    evaluations.push_back(Measure(source.description(), one, reference, stop));
    if (absl::IsCancelled(evaluations.back().status())) return evaluations.back().status();
  }
  return evaluations;
}

}  // namespace quantfleet::daemon
