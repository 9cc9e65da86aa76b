#include "text/tokenizer/added_tokens.h"

#include <utility>

#include "common/base/utf8.h"
#include "text/unicode/properties.h"

namespace quantfleet::text {

bool IsMark(std::string_view text) {
  return text.size() > 4 && text.starts_with("<|") && text.ends_with("|>");
}

AddedTokens::AddedTokens(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
  std::vector<std::pair<std::string_view, int32_t>> raw, normalized;
  for (size_t i = 0; i < tokens_.size(); ++i)
    (tokens_[i].normalized ? normalized : raw).emplace_back(tokens_[i].text, i);
  has_normalized_ = !normalized.empty();
  raw_ = TextTrie(std::move(raw));
  normalized_ = TextTrie(std::move(normalized));
}

const AddedToken* AddedTokens::Find(std::string_view text, size_t at, bool normalized,
                                    bool parse_special, const IsData& is_data) const {
  const AddedToken* found = nullptr;
  (normalized ? normalized_ : raw_)
      .ForEachPrefix(text.substr(at), [&](size_t length, int32_t number) {
        const AddedToken& token = tokens_[static_cast<size_t>(number)];
        if (token.special && !parse_special) return;
        const bool guarded = token.special || IsMark(token.text);
        if (guarded && is_data && is_data(at, at + length)) return;
        found = &token;
      });
  return found;
}

void AddedTokens::Split(std::string_view text, bool normalized, bool parse_special,
                        const IsData& is_data, std::vector<Fragment>& out) const {
  size_t plain = 0;  // where the text behind the last token begins
  for (size_t at = 0; at < text.size();) {
    const AddedToken* token = Find(text, at, normalized, parse_special, is_data);
    if (token == nullptr) {
      ++at;
      continue;
    }
    size_t begin = at, end = at + token->text.size();
    at = end;
    if (token->single_word) {
      const bool left = begin > 0 && IsWordCharacter(LastCharacter(text.substr(0, begin)).value);
      const bool right =
          end < text.size() && IsWordCharacter(FirstCharacter(text.substr(end)).value);
      if (left || right) continue;
    }
    while (token->lstrip && begin > plain) {
      const Character c = LastCharacter(text.substr(plain, begin - plain));
      if (!IsWhiteSpace(c.value)) break;
      begin -= c.length;
    }
    while (token->rstrip && end < text.size()) {
      const Character c = FirstCharacter(text.substr(end));
      if (!IsWhiteSpace(c.value)) break;
      end += c.length;
    }
    if (begin > plain) out.push_back({plain, begin});
    out.push_back({begin, end, static_cast<int32_t>(token->id)});
    at = plain = end;
  }
  if (plain < text.size()) out.push_back({plain, text.size()});
}

}  // namespace quantfleet::text
