// How much each column of a model's matrices matters: the mean of x^2 over what the column was
// multiplied with, as a calibration run measured it. Encoders weigh errors with it. Plain values.
#pragma once

#include <map>
#include <string_view>
#include <vector>

#include "common/base/digest.h"

namespace quantfleet::pipeline {

// Behind the name of the tensor that is the head, tied or not: what the file calls it.
inline constexpr std::string_view kAsHead = ".as_head";

struct Importance {
  Digest digest;  // SHA-256 of the file: a part of what an artifact was made by
  std::vector<std::vector<float>>
      columns;  // by ModelDescription::pieces; empty: the file says nothing of it
  // By piece, what search and feedback take in place of `columns`. Of experts that no token chose:
  // the mean over the tokens of the layer's other experts, where llama-quantize takes ones. Of the
  // head: what it is multiplied with, under a name that llama-quantize does not know.
  std::map<size_t, std::vector<float>> stand_ins = {};

  // As llama-quantize rounds. Null where the file says nothing of the piece.
  const float* Of(size_t piece) const {
    return piece < columns.size() && !columns[piece].empty() ? columns[piece].data() : nullptr;
  }
  // The same, with what stands in for it.
  const float* OrStandIn(size_t piece) const {
    const auto it = stand_ins.find(piece);
    return it == stand_ins.end() ? Of(piece) : it->second.data();
  }
};

}  // namespace quantfleet::pipeline
