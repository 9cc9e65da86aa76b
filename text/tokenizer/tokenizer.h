// Text to token ids and back: one tokenizer for all, put together from the stages that a model's
// files describe. Immutable, therefore thread-safe.
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

struct TokenizerStages;  // what a tokenizer is made of (tokenizer_stages.h)

class Tokenizer {
 public:
  explicit Tokenizer(std::unique_ptr<const TokenizerStages> stages);
  ~Tokenizer();

  // `add_bos` adds it only where the model wants one. With `parse_special`, the text of control
  // tokens ("<|end|>") becomes those tokens: right for prompts that a template made, wrong for
  // plain data. `data` holds the ranges that the template was filled with, ordered and disjoint: no
  // such token may begin, end or lie there.
  absl::StatusOr<std::vector<int32_t>> Encode(std::string_view text, bool add_bos,
                                              bool parse_special,
                                              std::span<const DataRange> data = {}) const;
  // With what the model's authors put around a text, at its end as well.
  absl::StatusOr<std::vector<int32_t>> EncodeWhole(std::string_view text,
                                                   bool parse_special = true) const;
  // The text of ids, without control tokens. Bytes that are not UTF-8 become U+FFFD.
  std::string Decode(std::span<const int32_t> ids) const;
  // The bytes that a token adds to a text; control tokens add none. They may be part of a UTF-8
  // sequence.
  std::string Piece(int32_t id) const;
  // True when the first piece of a text begins with a space that the text does not contain.
  bool AddsLeadingSpace() const;
  // True for the tokens that end a generation.
  bool EndsGeneration(int32_t id) const;

 private:
  const std::unique_ptr<const TokenizerStages> stages_;
};

// `model_name` matters as in llama.cpp: models named phi-3 strip spaces to the right of special
// tokens, unless the data describes its stages. UNIMPLEMENTED for what this build does not run,
// INVALID_ARGUMENT for data that contradicts itself.
absl::StatusOr<std::unique_ptr<Tokenizer>> MakeTokenizer(const TokenizerData& data,
                                                         std::string_view model_name);

}  // namespace quantfleet::text
