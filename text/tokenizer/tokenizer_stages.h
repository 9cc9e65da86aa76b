// What a tokenizer is made of. Immutable once put together, therefore thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "text/tokenizer/added_tokens.h"
#include "text/tokenizer/decoder.h"
#include "text/tokenizer/model.h"
#include "text/tokenizer/normalizer.h"
#include "text/tokenizer/pre_tokenizer.h"

namespace quantfleet::text {

struct TokenizerStages {
  AddedTokens added;
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  std::unique_ptr<Model> model;
  Decoder decoder;
  std::vector<int32_t> before;         // what begins a text
  std::vector<int32_t> after;          // what ends one that is whole
  std::vector<std::string> texts;      // by id
  std::vector<bool> control, literal;  // by id: shown as nothing; shown as written
  std::vector<bool> ends;              // by id: ends a generation
};

}  // namespace quantfleet::text
