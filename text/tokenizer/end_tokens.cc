#include "text/tokenizer/end_tokens.h"

#include <algorithm>
#include <utility>

namespace quantfleet::text {
namespace {

constexpr std::string_view kEndTexts[] = {"<|end|>",         "<|endoftext|>", "<|im_end|>",
                                          "<|eot_id|>",      "<|eom_id|>",    "<end_of_turn>",
                                          "<|end_of_text|>", "<EOT>"};

}  // namespace

std::vector<int32_t> EndIds(const TokenizerData& tokenizer) {
  std::vector<int32_t> ids;
  if (tokenizer.eos) ids.push_back(*tokenizer.eos);
  ids.insert(ids.end(), tokenizer.more_ends.begin(), tokenizer.more_ends.end());
  return ids;
}

void SetMoreEnds(std::vector<int32_t> ids, TokenizerData& tokenizer) {
  std::ranges::sort(ids);
  const auto twice = std::ranges::unique(ids);
  ids.erase(twice.begin(), twice.end());
  if (tokenizer.eos) std::erase(ids, *tokenizer.eos);
  tokenizer.more_ends = std::move(ids);
}

bool IsEndText(std::string_view text) {
  return std::ranges::find(kEndTexts, text) != std::end(kEndTexts);
}

bool EndsByText(const Token& token) {
  const bool special = token.type == TokenType::kControl || token.type == TokenType::kUnknown ||
                       token.type == TokenType::kUserDefined;
  return special && IsEndText(token.text);
}

}  // namespace quantfleet::text
