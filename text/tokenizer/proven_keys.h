// Whether GGUF's keys lead to the ids that a tokenizer.json describes, by how both are written.
// Pure.
#pragma once

#include <boost/json/fwd.hpp>

#include "text/tokenizer/named_splits.h"
#include "text/tokenizer/tokenizer_data.h"

namespace quantfleet::text {

// True where each stage of `json` (a BPE's, whose `stages` are written as `split` is) is what the
// keys of `data` mean for every text: cutting, the table, merges, added tokens, what begins a text.
// False where that cannot be told; then texts have to be compared. `json` could be carried out, and
// has as many tokens as `data`, and its BOS.
bool AreProven(const TokenizerData& json, const boost::json::object& stages,
               const NamedSplit& split, const TokenizerData& data);

}  // namespace quantfleet::text
