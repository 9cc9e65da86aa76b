// Measures artifacts as devices will run them: the devices' engine reads a text, next to a model in
// the source's own precision, and answers a few golden prompts. The daemon signs the result and
// keeps it beside the manifest. For a format of other runtimes, the engine gets the values that the
// artifact's codes stand for.
//
// A text on which the source itself does far worse than a guess is not of the model's kind, and is
// left out: the evaluation then has golden answers, and no tokens.
//
// Of an embedding model, the vectors of the text's passages are compared with the reference's, and
// golden prompts have vectors in place of answers.
//
// Needs room for plain copies in its scratch folder: the reference, and one artifact at a time; for
// one that is not GGUF, also the same model in F32. Stateless between calls; one call at a time.
#pragma once

#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "pipeline/artifact/blob_store.h"
#include "pipeline/model/source.h"
#include "pipeline/stage/executor.h"
#include "quantfleet/v1/manifest.pb.h"
#include "quantfleet/v1/trust.pb.h"

namespace quantfleet::daemon {

struct EvaluationOptions {
  int64_t tokens = 0;                     // of the text, at most; 0: nothing is measured
  std::string text = {};                  // empty: the shipped one
  std::vector<std::string> prompts = {};  // golden ones; empty: the shipped ones
  int64_t golden_tokens = 16;             // of an answer
};

class Evaluator {
 public:
  struct Collaborators {
    pipeline::BlobStore& blobs;
    FileSystem& files;
    const Clock& clock;
  };
  // `scratch` is the evaluator's own: what an earlier process left there is removed.
  Evaluator(Collaborators with, EvaluationOptions options, fs::path scratch, int threads,
            uint64_t memory_bytes);

  bool enabled() const { return options_.tokens > 0; }
  // On which artifacts are measured, and nothing is calibrated.
  const std::string& text() const { return options_.text; }
  // Identifies the text and prompts; evaluations with different digests cannot be compared.
  Digest text_digest() const;

  // What is to be measured, with the KV cache ("f16") and the context that a class runs; 0: the
  // engine's own default.
  struct Wanted {
    v1::Manifest manifest;
    std::string kv_type;
    uint64_t context = 0;
  };
  // For each an evaluation, or why there is none. FAILED_PRECONDITION: the engine does not run this
  // tokenizer; RESOURCE_EXHAUSTED: no room in the scratch folder; CANCELLED, for all of them:
  // stopped.
  using Evaluations = std::vector<absl::StatusOr<v1::EvaluationStatement>>;
  absl::StatusOr<Evaluations> Evaluate(const pipeline::ModelSource& source,
                                       const std::vector<Wanted>& wanted,
                                       const std::stop_token& stop);

 private:
  struct Reference;
  absl::StatusOr<Reference> MakeReference(const pipeline::ModelSource& source,
                                          const std::stop_token& stop);
  // The reference for that context; the previous one is released.
  absl::Status LoadReference(Reference& reference, uint64_t context);
  absl::StatusOr<v1::EvaluationStatement> Measure(const pipeline::ModelDescription& model,
                                                  const Wanted& wanted, const Reference& reference,
                                                  const std::stop_token& stop);
  // What the engine runs for it, in `folder`.
  absl::StatusOr<fs::path> MakeRunnable(const pipeline::ModelDescription& model,
                                        const v1::Manifest& manifest, const fs::path& folder,
                                        const std::stop_token& stop);
  pipeline::ExecutorOptions CopyOptions(const std::stop_token& stop) const;
  absl::Status Unpack(const v1::Manifest& manifest, const fs::path& folder,
                      const std::stop_token& stop);

  const Collaborators with_;
  const EvaluationOptions options_;
  const fs::path scratch_;
  const int threads_;
  const uint64_t memory_bytes_;
};

}  // namespace quantfleet::daemon
