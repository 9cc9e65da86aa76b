#include "text/tokenizer/model_wordpiece.h"

#include "common/base/utf8.h"

namespace quantfleet::text {

WordPieceModel::WordPieceModel(const Vocabulary& vocabulary, std::optional<int32_t> unknown,
                               std::string_view prefix, size_t max_characters)
    : unknown_(unknown), max_characters_(max_characters) {
  std::vector<std::pair<std::string_view, int32_t>> first, later;
  for (size_t id = 0; id < vocabulary.texts.size(); ++id) {
    const std::string_view text = vocabulary.texts[id];
    if (!vocabulary.reachable[id] || text.empty()) continue;
    first.emplace_back(text, static_cast<int32_t>(id));
    if (text.starts_with(prefix) && text.size() > prefix.size())
      later.emplace_back(text.substr(prefix.size()), static_cast<int32_t>(id));
  }
  first_ = TextTrie(std::move(first));
  later_ = TextTrie(std::move(later));
}

void WordPieceModel::Encode(std::string_view piece, std::vector<int32_t>& out) const {
  const size_t before = out.size();
  bool known = CountCharacters(piece) <= max_characters_;
  for (size_t at = 0; known && at < piece.size();) {
    size_t longest = 0;
    int32_t id = kNoToken;
    (at == 0 ? first_ : later_).ForEachPrefix(piece.substr(at), [&](size_t length, int32_t found) {
      longest = length;
      id = found;
    });
    known = longest > 0;
    if (known) out.push_back(id);
    at += longest;
  }
  if (known) return;
  out.resize(before);
  out.push_back(unknown_.value_or(kNoToken));
}

}  // namespace quantfleet::text
