#include "text/tokenizer/model_unigram.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "common/base/utf8.h"

namespace quantfleet::text {
namespace {

constexpr double kUnknownPenalty = 10;

}  // namespace

UnigramModel::UnigramModel(const Vocabulary& vocabulary, std::optional<int32_t> unknown,
                           bool byte_fallback)
    : scores_(vocabulary.scores), unknown_(unknown) {
  std::vector<std::pair<std::string_view, int32_t>> texts;
  double least = std::numeric_limits<double>::infinity();
  TextTable table(vocabulary.texts);
  for (size_t id = 0; id < vocabulary.texts.size(); ++id) {
    const std::string& text = vocabulary.texts[id];
    if (text.empty()) continue;
    least = std::min(least, scores_[id]);
    table.Insert(static_cast<int32_t>(id));
    if (vocabulary.reachable[id]) texts.emplace_back(text, static_cast<int32_t>(id));
  }
  unknown_score_ = least - kUnknownPenalty;
  trie_ = TextTrie(std::move(texts));
  if (!byte_fallback) return;
  for (int b = 0; b < 256; ++b) bytes_.push_back(table.Find(fmt::format("<0x{:02X}>", b)));
}

void UnigramModel::AppendUnknown(std::string_view text, std::vector<int32_t>& out) const {
  const auto has = [&](char c) { return bytes_[static_cast<uint8_t>(c)] >= 0; };
  if (!bytes_.empty() && std::ranges::all_of(text, has)) {
    for (const char c : text) out.push_back(bytes_[static_cast<uint8_t>(c)]);
  } else {
    out.push_back(unknown_.value_or(kNoToken));
  }
}

void UnigramModel::Encode(std::string_view piece, std::vector<int32_t>& out) const {
  // The best way to write what is in front of a byte: its last token, and where that begins.
  struct Best {
    double score = 0;
    size_t begin = std::string_view::npos;
    int32_t id = kNoToken;  // kNoToken: unknown
  };
  std::vector<Best> best(piece.size() + 1);
  const auto consider = [&](size_t begin, size_t end, double score, int32_t id) {
    score += best[begin].score;
    if (best[end].begin == std::string_view::npos || score > best[end].score)
      best[end] = {score, begin, id};
  };
  for (size_t at = 0; at < piece.size();) {
    const size_t character = FirstCharacter(piece.substr(at)).length;
    bool single = false;
    trie_.ForEachPrefix(piece.substr(at), [&](size_t length, int32_t id) {
      consider(at, at + length, scores_[static_cast<size_t>(id)], id == unknown_ ? kNoToken : id);
      single = single || length == character;
    });
    if (!single) consider(at, at + character, unknown_score_, kNoToken);
    at += character;
  }
  std::vector<const Best*> path;
  for (size_t end = piece.size(); end > 0; end = best[end].begin) path.push_back(&best[end]);
  size_t at = 0;
  for (size_t i = path.size(); i-- > 0;) {
    if (path[i]->id != kNoToken) {
      out.push_back(path[i]->id);
    } else if (i == 0 || path[i - 1]->id != kNoToken) {
      // Unknown neighbors are one.
      const size_t end = i == 0 ? piece.size() : path[i - 1]->begin;
      AppendUnknown(piece.substr(at, end - at), out);
    } else {
      continue;
    }
    at = i == 0 ? piece.size() : path[i - 1]->begin;
  }
}

}  // namespace quantfleet::text
