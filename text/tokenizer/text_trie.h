// Finds which of many texts another begins with. Immutable, therefore thread-safe.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace quantfleet::text {

class TextTrie {
 public:
  TextTrie() = default;
  // Texts with their numbers, which are not negative; of equal texts the highest counts. None is
  // empty.
  explicit TextTrie(std::vector<std::pair<std::string_view, int32_t>> texts);

  // Calls `found(length, number)` for each text that `text` begins with, the shortest first.
  template <typename Found>
  void ForEachPrefix(std::string_view text, Found found) const {
    if (text.empty() || nodes_.empty()) return;
    uint32_t node = first_[static_cast<uint8_t>(text[0])];
    for (size_t at = 1; node != 0; ++at) {
      if (nodes_[node].number >= 0) found(at, nodes_[node].number);
      if (at == text.size()) break;
      node = Child(node, text[at]);
    }
  }

 private:
  struct Node {
    uint32_t children = 0;  // where the first stands
    int32_t number = -1;
    uint16_t count = 0;
    char byte = 0;
  };
  uint32_t Child(uint32_t node, char byte) const;

  std::vector<Node>
      nodes_;  // the root, then each node's children beside each other, by their bytes
  std::vector<uint32_t> first_;  // the root's children by their bytes; 0: none
};

}  // namespace quantfleet::text
