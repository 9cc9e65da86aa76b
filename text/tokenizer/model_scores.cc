#include "text/tokenizer/model_scores.h"

#include <fmt/format.h>

#include <algorithm>
#include <queue>
#include <tuple>

namespace quantfleet::text {
namespace {

// Length of the UTF-8 sequence that a byte begins; 1 for a byte that begins none, so that bad text
// goes by bytes.
size_t SequenceLength(char first) {
  static constexpr uint8_t kByHighNibble[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 3, 4};
  return kByHighNibble[static_cast<uint8_t>(first) >> 4];
}

// A stretch of text in the list of neighbors; an empty one has been merged away.
struct Symbol {
  std::string_view text;
  int previous, next;
};

struct Bigram {
  double score;
  int left, right;
  size_t size;  // of both; differs from the symbols' once one of them has changed
  // The queue's top is the highest score, the leftmost of equals.
  bool operator<(const Bigram& other) const {
    return std::tuple(score, -left) < std::tuple(other.score, -other.left);
  }
};

std::string_view Join(const Symbol& a, const Symbol& b) {
  return {a.text.data(), a.text.size() + b.text.size()};  // neighbors in one buffer
}

}  // namespace

ScoresModel::ScoresModel(const Vocabulary& vocabulary, std::optional<int32_t> unknown)
    : texts_(vocabulary.texts), scores_(vocabulary.scores) {
  for (size_t id = 0; id < texts_.size(); ++id)
    if (vocabulary.reachable[id]) ids_.Insert(static_cast<int32_t>(id));
  for (int b = 0; b < 256; ++b) {
    int32_t id = ids_.Find(fmt::format("<0x{:02X}>", b));
    if (id < 0) id = ids_.Find(std::string(1, static_cast<char>(b)));
    bytes_[b] = id >= 0 ? id : unknown.value_or(kNoToken);
  }
}

void ScoresModel::Encode(std::string_view piece, std::vector<int32_t>& out) const {
  std::vector<Symbol> symbols;
  for (size_t at = 0; at < piece.size();) {
    const size_t length = std::min(SequenceLength(piece[at]), piece.size() - at);
    const int index = static_cast<int>(symbols.size());
    symbols.push_back({piece.substr(at, length), index - 1, index + 1});
    at += length;
  }
  symbols.back().next = -1;

  std::priority_queue<Bigram> queue;
  const auto consider = [&](int left, int right) {
    if (left < 0 || right < 0) return;
    const std::string_view joined = Join(symbols[left], symbols[right]);
    const int32_t id = ids_.Find(joined);
    if (id >= 0) queue.push({scores_[id], left, right, joined.size()});
  };
  for (int i = 1; i < static_cast<int>(symbols.size()); ++i) consider(i - 1, i);
  while (!queue.empty()) {
    const Bigram top = queue.top();
    queue.pop();
    Symbol &left = symbols[top.left], &right = symbols[top.right];
    if (left.text.empty() || right.text.empty() || left.text.size() + right.text.size() != top.size)
      continue;
    left.text = Join(left, right);
    right.text = {};
    left.next = right.next;
    if (right.next >= 0) symbols[right.next].previous = top.left;
    consider(left.previous, top.left);
    consider(top.left, left.next);
  }
  // A symbol that merged is a token; one that never did may be none, and goes by its bytes.
  for (int i = 0; i >= 0; i = symbols[i].next) {
    if (const int32_t id = ids_.Find(symbols[i].text); id >= 0) {
      out.push_back(id);
      continue;
    }
    for (const char c : symbols[i].text) out.push_back(bytes_[static_cast<uint8_t>(c)]);
  }
}

}  // namespace quantfleet::text
