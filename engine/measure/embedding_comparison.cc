#include "engine/measure/embedding_comparison.h"

#include <algorithm>

#include "common/base/utf8.h"
#include "engine/decode/embedding.h"

namespace quantfleet::engine {
namespace {

constexpr size_t kPassageBytes = 200;
constexpr std::string_view kWhiteSpace = " \t\r\n";

// Takes the next passage off the text.
std::string_view NextPassage(std::string_view& text) {
  text.remove_prefix(std::min(text.find_first_not_of(kWhiteSpace), text.size()));
  size_t end = text.size();
  if (end > kPassageBytes) {
    end = text.find_last_of(kWhiteSpace, kPassageBytes);
    if (end == std::string_view::npos) end = WholeUtf8Length(text.substr(0, kPassageBytes));
  }
  const std::string_view passage = text.substr(0, end);
  text.remove_prefix(std::max<size_t>(end, text.empty() ? 0 : 1));
  return passage;
}

}  // namespace

absl::StatusOr<std::vector<std::vector<int32_t>>> PassagesOf(const Engine& engine,
                                                             std::string_view text,
                                                             int64_t most_tokens) {
  std::vector<std::vector<int32_t>> passages;
  for (int64_t tokens = 0; tokens < most_tokens && !text.empty();) {
    const std::string_view passage = NextPassage(text);
    if (passage.empty()) continue;
    QF_ASSIGN_OR_RETURN(std::vector<int32_t> ids, engine.TokenizeWhole(passage));
    ids.resize(std::min(ids.size(), static_cast<size_t>(engine.context())));
    tokens += static_cast<int64_t>(ids.size());
    if (!ids.empty()) passages.push_back(std::move(ids));
  }
  return passages;
}

absl::StatusOr<EmbeddingComparison> CompareEmbeddings(
    Engine& reference, Engine& candidate, const std::vector<std::vector<int32_t>>& passages,
    const std::stop_token& stop) {
  if (passages.empty()) return InvalidArgument("the evaluation text is empty");
  if (reference.dimensions() != candidate.dimensions())
    return InvalidArgument(
        "the models' vectors have {} and {} elements: they are not made from the same source",
        reference.dimensions(), candidate.dimensions());
  EmbeddingComparison out{.least_cosine = 1};
  for (const std::vector<int32_t>& ids : passages) {
    if (stop.stop_requested()) return Cancelled("stopped while comparing models");
    const EmbedRequest request{{{.text = {}, .ids = ids}}};
    QF_ASSIGN_OR_RETURN(const GenerateResult wanted, reference.Embed(request));
    QF_ASSIGN_OR_RETURN(const GenerateResult got, candidate.Embed(request));
    const double cosine = Cosine(wanted.embeddings.at(0), got.embeddings.at(0));
    out.mean_cosine += cosine;
    out.least_cosine = std::min(out.least_cosine, cosine);
    ++out.vectors;
  }
  out.mean_cosine /= static_cast<double>(out.vectors);
  return out;
}

}  // namespace quantfleet::engine
