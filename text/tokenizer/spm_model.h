// A SentencePiece tokenizer.model: a protobuf ModelProto, read with a small bounded reader of our
// own, because the file is untrusted and six of its fields matter. Pure.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "common/base/status.h"
#include "text/tokenizer/tokenizer_data.h"

namespace quantfleet::text {

struct SpmModel {
  std::vector<Token> pieces;                            // index = id
  int32_t bos = 1, eos = 2, unknown = 0, padding = -1;  // -1: none
  bool add_dummy_prefix = true;
};

// UNIMPLEMENTED for models that are not BPE; INVALID_ARGUMENT says at which byte the file breaks.
absl::StatusOr<SpmModel> ParseSpmModel(std::string_view bytes,
                                       std::string_view file = "tokenizer.model");

}  // namespace quantfleet::text
