// The tokens that stand for themselves in a text ("<|end|>"): finds them before anything else looks
// at it, and says which of them end a generation. Immutable, therefore thread-safe.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer/tokenizer.h"
#include "text/tokenizer/tokenizer_data.h"

namespace quantfleet::text {

bool IsControl(TokenType type);

class SpecialTokens {
 public:
  // Plain text, or one special token.
  struct Fragment {
    std::string_view text;
    int32_t token = -1;
  };

  SpecialTokens() = default;
  // Models named phi-3 strip white space to the right of special tokens, as in llama.cpp.
  SpecialTokens(const TokenizerData& data, std::string_view model_name);

  // In order; views into `text`. Control tokens count only with `parse_special` and outside `data`,
  // user-defined ones always.
  std::vector<Fragment> Split(std::string_view text, bool parse_special,
                              std::span<const DataRange> data = {}) const;
  bool EndsGeneration(int32_t id) const;

 private:
  struct Special {
    std::string text;
    int32_t id;
    bool control;
    bool guarded;  // never found in data
    bool strips_right;
  };
  // `base`: where the whole text begins.
  static void SplitOne(std::string_view text, const Special& special, const char* base,
                       std::span<const DataRange> data, std::vector<Fragment>& out);

  std::vector<Special> special_;  // longest text first
  std::vector<bool> ends_;        // by id
};

}  // namespace quantfleet::text
