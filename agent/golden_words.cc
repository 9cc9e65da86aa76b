#include "agent/golden_words.h"

#include <algorithm>
#include <set>
#include <span>

#include "text/tokenizer/tokenizer.h"
#include "text/tokenizer/tokenizer_json.h"

namespace quantfleet::agent {
namespace {

constexpr std::string_view kHalf = "\xef\xbf\xbd";  // U+FFFD, for a character that is not whole yet

std::string_view WithoutSpaceBefore(std::string_view text) {
  return text.substr(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
}

// The word that follows `before`; empty if there is none.
GoldenWord WordOf(const text::Tokenizer& tokenizer, std::span<const int32_t> before,
                  std::span<const int32_t> rest) {
  GoldenWord word{tokenizer.Decode(before), "", 0};
  if (word.before.empty() || word.before.ends_with(kHalf)) return word;
  while (++word.tokens <= static_cast<int64_t>(rest.size())) {
    const std::string said = tokenizer.Decode(rest.first(static_cast<size_t>(word.tokens)));
    word.word = WithoutSpaceBefore(said);
    if (!word.word.empty() && !word.word.ends_with(kHalf)) return word;
  }
  word.word.clear();
  return word;
}

}  // namespace

absl::StatusOr<std::vector<GoldenWord>> GoldenWordsOf(const fs::path& folder,
                                                      const std::vector<v1::GoldenPrompt>& golden) {
  QF_ASSIGN_OR_RETURN(const std::string file, RealFileSystem().ReadAll(folder / "tokenizer.json"));
  QF_ASSIGN_OR_RETURN(const text::TokenizerJson parsed,
                      text::ParseTokenizerJson(file, /*whole=*/true));
  QF_ASSIGN_OR_RETURN(const auto tokenizer, text::MakeTokenizer(parsed.data, ""));
  std::vector<GoldenWord> words;
  for (const v1::GoldenPrompt& one : golden) {
    std::vector<int32_t> all(one.prompt().begin(), one.prompt().end());
    all.insert(all.end(), one.answer().begin(), one.answer().end());
    const std::span<const int32_t> ids(all);
    const size_t first = static_cast<size_t>(one.prompt_size()),
                 middle = first + static_cast<size_t>(one.answer_size()) / 2;
    for (const size_t at : std::set<size_t>{first, middle})
      if (GoldenWord word = WordOf(*tokenizer, ids.first(at), ids.subspan(at)); !word.word.empty())
        words.push_back(std::move(word));
  }
  return words;
}

bool Begins(std::string_view text, const GoldenWord& golden) {
  return WithoutSpaceBefore(text).starts_with(golden.word);
}

}  // namespace quantfleet::agent
