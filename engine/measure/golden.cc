#include "engine/measure/golden.h"

#include <algorithm>
#include <cmath>

#include "engine/decode/embedding.h"
#include "engine/decode/likeliest.h"

namespace quantfleet::engine {

namespace {

absl::StatusOr<Golden> MakeGoldenVector(Engine& engine, std::string_view prompt) {
  Golden golden;
  QF_ASSIGN_OR_RETURN(golden.prompt, engine.TokenizeWhole(prompt));
  QF_ASSIGN_OR_RETURN(GenerateResult made, engine.Embed({{{.text = {}, .ids = golden.prompt}}}));
  golden.vector = std::move(made.embeddings.at(0));
  return golden;
}

absl::StatusOr<double> VectorAgreement(Engine& engine, std::span<const Golden> goldens) {
  int64_t agreed = 0, all = 0;
  for (const Golden& golden : goldens) {
    if (golden.vector.empty()) continue;
    if (golden.prompt.empty()) return InvalidArgument("a golden prompt has no tokens");
    QF_ASSIGN_OR_RETURN(const GenerateResult made,
                        engine.Embed({{{.text = {}, .ids = golden.prompt}}}));
    agreed += Cosine(made.embeddings.at(0), golden.vector) >= kSameVector;
    ++all;
  }
  return all == 0 ? 1.0 : static_cast<double>(agreed) / static_cast<double>(all);
}

}  // namespace

absl::StatusOr<Golden> MakeGolden(Engine& engine, std::string_view prompt, int64_t most_tokens) {
  if (engine.embedding() != nullptr) return MakeGoldenVector(engine, prompt);
  Golden golden;
  QF_ASSIGN_OR_RETURN(golden.prompt, engine.Tokenize(prompt, /*add_bos=*/true));
  if (golden.prompt.empty()) return InvalidArgument("a golden prompt has no tokens");
  GenerateRequest request;
  request.prompt = prompt;
  request.max_tokens = most_tokens;
  request.sampling.temperature = 0;
  QF_ASSIGN_OR_RETURN(GenerateResult said, engine.Generate(request));
  // A generation reads "<|end|>" as that token, golden prompts are plain text: the two must not
  // differ.
  if (said.prompt_tokens != static_cast<int64_t>(golden.prompt.size()))
    return InvalidArgument("the golden prompt '{}' contains the text of a control token", prompt);
  golden.answer = std::move(said.tokens);
  return golden;
}

absl::StatusOr<double> GoldenAgreement(Engine& engine, std::span<const Golden> goldens) {
  if (engine.embedding() != nullptr) return VectorAgreement(engine, goldens);
  int64_t agreed = 0, all = 0;
  for (const Golden& golden : goldens) {
    if (golden.answer.empty()) continue;
    if (golden.prompt.empty()) return InvalidArgument("a golden prompt has no tokens");
    std::vector<int32_t> sequence = golden.prompt;
    sequence.insert(sequence.end(), golden.answer.begin(), golden.answer.end() - 1);
    const auto last = static_cast<int64_t>(golden.prompt.size()) -
                      1;  // of the prompt: behind it the answer begins
    QF_RETURN_IF_ERROR(engine.VisitLogits(
        sequence, last, [&](int64_t index, std::span<const float> row) -> absl::Status {
          if (!std::ranges::all_of(row, [](float v) { return std::isfinite(v); }))
            return DataLoss("the model produces NaN or infinite logits: its weights are damaged");
          agreed += Likeliest(row) == golden.answer[static_cast<size_t>(index - last)];
          return absl::OkStatus();
        }));
    all += static_cast<int64_t>(golden.answer.size());
  }
  return all == 0 ? 1.0 : static_cast<double>(agreed) / static_cast<double>(all);
}

}  // namespace quantfleet::engine
