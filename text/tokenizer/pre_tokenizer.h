// Cuts a text into the pieces that a tokenizer's model looks at one by one: tokenizer.json's
// "pre_tokenizer". Immutable after Create, therefore thread-safe.
#pragma once

#include <boost/json/fwd.hpp>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"
#include "text/tokenizer/regular_expression.h"

namespace quantfleet::text {

// A text and the pieces of it, none of them empty: ordered and disjoint. What lies in no piece is
// gone. A step may write the text anew.
struct Pieces {
  struct Piece {
    size_t begin, end;
  };
  std::string text;
  std::vector<Piece> pieces;
  MatchSteps steps{0};    // what matching may still cost
  bool at_start = false;  // the first piece is the beginning of all that is encoded

  std::string_view operator[](size_t i) const {
    return std::string_view(text).substr(pieces[i].begin, pieces[i].end - pieces[i].begin);
  }
};

class PreTokenizer {
 public:
  PreTokenizer() = default;  // leaves a text whole
  // As Normalizer::Create.
  static absl::StatusOr<PreTokenizer> Create(const boost::json::value* stage);
  // GPT-2's way: what each expression matches, and what it does not, are pieces; the expressions
  // one after the other; then bytes.
  static absl::StatusOr<PreTokenizer> OfExpressions(
      const std::vector<std::string_view>& expressions);

  // INVALID_ARGUMENT where an expression takes too many steps, or the text becomes too long.
  absl::Status Apply(Pieces& pieces) const;

  // The model gets the bytes of a text instead of the letters that stand for them: ByteLevel is the
  // last step.
  bool to_bytes() const { return to_bytes_; }

 private:
  using Cutting = std::function<absl::Status(Pieces& pieces)>;
  std::vector<Cutting> steps_;
  bool to_bytes_ = false;
};

}  // namespace quantfleet::text
