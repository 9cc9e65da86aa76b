#include "text/tokenizer/text_trie.h"

#include <algorithm>

namespace quantfleet::text {

TextTrie::TextTrie(std::vector<std::pair<std::string_view, int32_t>> texts) {
  if (texts.empty()) return;
  std::ranges::sort(texts);
  // Nodes in the order in which they are made; each covers a range of texts that share its bytes.
  struct Range {
    size_t begin, end, depth;
  };
  std::vector<Range> ranges = {{0, texts.size(), 0}};
  nodes_.push_back({});
  for (size_t node = 0; node < nodes_.size(); ++node) {
    auto [begin, end, depth] = ranges[node];
    for (; begin < end && texts[begin].first.size() == depth; ++begin)
      nodes_[node].number = texts[begin].second;
    nodes_[node].children = static_cast<uint32_t>(nodes_.size());
    while (begin < end) {
      const char byte = texts[begin].first[depth];
      size_t same = begin + 1;
      while (same < end && texts[same].first[depth] == byte) ++same;
      nodes_.push_back({.byte = byte});
      ranges.push_back({begin, same, depth + 1});
      ++nodes_[node].count;
      begin = same;
    }
  }
  first_.resize(256);
  for (uint32_t i = 0; i < nodes_[0].count; ++i)
    first_[static_cast<uint8_t>(nodes_[nodes_[0].children + i].byte)] = nodes_[0].children + i;
}

uint32_t TextTrie::Child(uint32_t node, char byte) const {
  const Node& from = nodes_[node];
  const auto begin = nodes_.begin() + from.children, end = begin + from.count;
  const auto found = std::lower_bound(
      begin, end, static_cast<uint8_t>(byte),
      [](const Node& child, uint8_t wanted) { return static_cast<uint8_t>(child.byte) < wanted; });
  if (found == end || found->byte != byte) return 0;
  return static_cast<uint32_t>(found - nodes_.begin());
}

}  // namespace quantfleet::text
