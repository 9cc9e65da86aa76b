#include "engine/calibrate/chunks.h"

#include <algorithm>
#include <unordered_map>

#include "common/base/utf8.h"

namespace quantfleet::engine {

absl::StatusOr<std::vector<int32_t>> CutIntoChunks(const text::Tokenizer& tokenizer,
                                                   const text::TokenizerData& data,
                                                   std::string_view text,
                                                   const ChunkOptions& options) {
  if (!IsUtf8(text))
    return InvalidArgument("the text is not UTF-8 from byte {} on: convert it first",
                           WholeUtf8Length(text));
  QF_ASSIGN_OR_RETURN(std::vector<int32_t> tokens,
                      tokenizer.Encode(text, /*add_bos=*/true, /*parse_special=*/false));
  const auto size = static_cast<size_t>(options.size);
  const size_t chunks = std::min(tokens.size() / size, static_cast<size_t>(options.most));
  if (chunks == 0)
    return InvalidArgument(
        "the text has {} tokens, but a single chunk needs {}: use a longer text, or a smaller "
        "--chunk",
        tokens.size(), options.size);
  tokens.resize(chunks * size);
  const bool begins = data.add_bos && data.bos && tokens.front() == *data.bos;
  for (size_t at = 0; begins && at < tokens.size(); at += size) tokens[at] = *data.bos;
  return tokens;
}

std::string RemarkOn(std::span<const int32_t> tokens, int64_t vocab) {
  std::unordered_map<int32_t, size_t> counts;
  size_t most = 0;
  for (const int32_t token : tokens) most = std::max(most, ++counts[token]);
  if (most > tokens.size() / 2)
    return fmt::format("{} of the text's {} tokens are one and the same: it measures little", most,
                       tokens.size());
  const size_t possible = std::min(tokens.size(), static_cast<size_t>(vocab));
  if (counts.size() < possible / 64)
    return fmt::format("the text has only {} different tokens among {}: it measures little",
                       counts.size(), tokens.size());
  return "";
}

}  // namespace quantfleet::engine
