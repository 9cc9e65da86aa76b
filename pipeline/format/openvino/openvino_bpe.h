// The tables of OpenVINO's BPETokenizer for byte-pair encoding as a tokenizer.json means it. Pure.
//
// The operation begins with the longest tokens that no merge makes, where `tokenizers` begins with
// characters. So it gets no token that `tokenizers` does not get to, and no merge that never
// happens; and bytes stand in its vocabulary as themselves ("<0x0A>" would be found in a text that
// has these letters).
#pragma once

#include <boost/json/fwd.hpp>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"
#include "text/tokenizer/tokenizer_data.h"

namespace quantfleet::pipeline {

struct BpeTables {
  std::vector<std::string> vocabulary;          // by id, in bytes; empty: nothing leads to it
  std::vector<std::string> left, right;         // of merges
  std::vector<std::string> tokens;              // that stand for themselves, and others for an id
  std::vector<int32_t> token_ids;               // of these
  std::map<std::string, std::string> rewrites;  // of whole pieces, between the two marks below
};

// What pieces are put between to be rewritten whole: characters that no text has.
inline constexpr std::string_view kPieceBegin = "\xEF\xB7\x90", kPieceEnd = "\xEF\xB7\x91";

// `model` is the description's, `added` are the tokens that are cut out before, with the texts by
// which they are found; `byte_level` says that the vocabulary spells bytes with letters.
// UNIMPLEMENTED says what the operation cannot do.
absl::StatusOr<BpeTables> MakeBpeTables(const text::TokenizerData& data,
                                        const boost::json::object& model, bool byte_level,
                                        const std::vector<text::AddedToken>& added);

}  // namespace quantfleet::pipeline
