// The tokens that stand for themselves in a text ("<|end|>"), whatever the model would make of it.
// Immutable, therefore thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer/text_trie.h"
#include "text/tokenizer/tokenizer_data.h"

namespace quantfleet::text {

// Turns are marked so, and some files have these marks as words of the user's.
bool IsMark(std::string_view text);

class AddedTokens {
 public:
  // Plain text, or one token; where it lies in the text that was split.
  struct Fragment {
    size_t begin, end;
    int32_t token = -1;
  };
  // Whether bytes [begin, end) of a text are data, in part or whole.
  using IsData = std::function<bool(size_t begin, size_t end)>;

  AddedTokens() = default;
  // Ids fit into 32 bits; texts are not empty, and, for those that are `normalized`, as the
  // normalizer makes them.
  explicit AddedTokens(std::vector<AddedToken> tokens);

  // Appends fragments that cover a text, in order: of tokens that begin at one place the longest
  // counts. `normalized` says which tokens are looked for. Control tokens count only with
  // `parse_special`, and neither they nor what looks like one count in data.
  void Split(std::string_view text, bool normalized, bool parse_special, const IsData& is_data,
             std::vector<Fragment>& out) const;
  bool has_normalized() const { return has_normalized_; }

 private:
  const AddedToken* Find(std::string_view text, size_t at, bool normalized, bool parse_special,
                         const IsData& is_data) const;

  std::vector<AddedToken> tokens_;
  TextTrie raw_, normalized_;  // numbers are places in tokens_
  bool has_normalized_ = false;
};

}  // namespace quantfleet::text
