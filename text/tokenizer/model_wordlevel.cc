#include "text/tokenizer/model_wordlevel.h"

namespace quantfleet::text {

WordLevelModel::WordLevelModel(const Vocabulary& vocabulary, std::optional<int32_t> unknown)
    : unknown_(unknown), texts_(vocabulary.texts) {
  for (size_t id = 0; id < texts_.size(); ++id)
    if (vocabulary.reachable[id] && !texts_[id].empty()) ids_.Insert(static_cast<int32_t>(id));
}

void WordLevelModel::Encode(std::string_view piece, std::vector<int32_t>& out) const {
  const int32_t id = ids_.Find(piece);
  out.push_back(id >= 0 ? id : unknown_.value_or(kNoToken));
}

}  // namespace quantfleet::text
