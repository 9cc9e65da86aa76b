// Text to token ids and back. Immutable after Create, therefore thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"
#include "text/tokenizer/tokenizer_data.h"

namespace quantfleet::text {

// Bytes [begin, end) of a text that are data, whatever they spell.
struct DataRange {
  size_t begin, end;
};

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // `add_bos` adds it only where the model wants one. With `parse_special`, the text of control
  // tokens ("<|end|>") becomes those tokens: right for prompts that a template made, wrong for
  // plain data. `data` holds the ranges that the template was filled with, ordered and disjoint: no
  // such token may begin, end or lie there.
  absl::StatusOr<std::vector<int32_t>> Encode(std::string_view text, bool add_bos,
                                              bool parse_special,
                                              std::span<const DataRange> data = {}) const;
  // The bytes that a token adds to a text; control tokens add none. They may be part of a UTF-8
  // sequence.
  virtual std::string Piece(int32_t id) const = 0;
  // True when the first piece of a text begins with a space that the text does not contain.
  virtual bool AddsLeadingSpace() const = 0;
  // True for the tokens that end a generation.
  virtual bool EndsGeneration(int32_t id) const = 0;

 private:
  virtual absl::StatusOr<std::vector<int32_t>> EncodeText(
      std::string_view text, bool add_bos, bool parse_special,
      std::span<const DataRange> data) const = 0;
};

// `model_name` matters as in llama.cpp: models named phi-3 strip spaces to the right of special
// tokens. UNIMPLEMENTED for a kind that this build does not run, INVALID_ARGUMENT for data that
// contradicts itself.
absl::StatusOr<std::unique_ptr<Tokenizer>> MakeTokenizer(const TokenizerData& data,
                                                         std::string_view model_name);

}  // namespace quantfleet::text
