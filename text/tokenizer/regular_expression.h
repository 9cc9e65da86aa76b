// A regular expression of a tokenizer's file, written as Oniguruma reads it and run by PCRE2 within
// bounds. Immutable after Create, therefore thread-safe.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "common/base/status.h"

struct pcre2_real_code_8;

namespace quantfleet::text {

// What matching may still cost for one text, in PCRE2's steps. A match is first given few of them,
// which is enough nearly always, for free; what a try takes in vain comes from here: expressions
// whose matches each look at the whole rest of a text end in an error after seconds, not after
// hours. Ten thousand digits that are grouped from behind pass.
struct MatchSteps {
  explicit MatchSteps(size_t text_bytes) : left(10'000'000 + 16 * uint64_t{text_bytes}) {}
  uint64_t left;
};

class RegularExpression {
 public:
  // INVALID_ARGUMENT or UNIMPLEMENTED for an expression that cannot be carried out.
  static absl::StatusOr<RegularExpression> Create(std::string_view oniguruma);

  // Calls `found` with bytes [begin, end) of each match, in order; they may be empty. Bytes that
  // are not UTF-8 are in no match: a match is looked for in front of them and behind.
  // INVALID_ARGUMENT when matching takes more steps than any real text needs.
  absl::Status ForEachMatch(std::string_view text, MatchSteps& steps,
                            const std::function<void(size_t begin, size_t end)>& found) const;

 private:
  struct Free {
    void operator()(pcre2_real_code_8* code) const;
  };
  explicit RegularExpression(pcre2_real_code_8* code) : code_(code) {}

  std::unique_ptr<pcre2_real_code_8, Free> code_;
};

}  // namespace quantfleet::text
