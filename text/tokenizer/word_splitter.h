// Cuts a text into the words that byte-level BPE merges within, by the regular expression of a
// known pre-tokenizer (pre_tokenizer.h). Immutable after Create, therefore thread-safe.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "common/base/status.h"

struct pcre2_real_code_8;

namespace quantfleet::text {

class WordSplitter {
 public:
  // INVALID_ARGUMENT for an expression that does not compile.
  static absl::StatusOr<WordSplitter> Create(std::string_view regex);

  // Appends words that cover `text`, in order. Bytes that are not UTF-8, and what the expression
  // does not match, are words of their own. INVALID_ARGUMENT when matching takes more steps than
  // any real text needs.
  absl::Status Split(std::string_view text, std::vector<std::string_view>& words) const;

 private:
  struct Free {
    void operator()(pcre2_real_code_8* code) const;
  };
  explicit WordSplitter(pcre2_real_code_8* code) : code_(code) {}
  absl::Status SplitValid(std::string_view text, std::vector<std::string_view>& words) const;

  std::unique_ptr<pcre2_real_code_8, Free> code_;
};

}  // namespace quantfleet::text
