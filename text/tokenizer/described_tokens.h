// What a tokenizer.json's description says of tokens, put together with the tables that stand
// beside it. Pure.
#pragma once

#include <boost/json/fwd.hpp>
#include <cstdint>
#include <vector>

#include "common/base/status.h"
#include "text/tokenizer/model_bpe.h"
#include "text/tokenizer/post_processor.h"
#include "text/tokenizer/tokenizer_data.h"

namespace quantfleet::text {

// The added tokens of the description, and those that only other files name. INVALID_ARGUMENT for
// an id outside the vocabulary. `data` has a description.
absl::StatusOr<std::vector<AddedToken>> DescribedAdded(const TokenizerData& data);

// The merges beside the description, or those in its `model`, which are pairs because a token in
// them has a space. They point into `data` and `model`.
absl::StatusOr<BpeModel::Merges> DescribedMerges(const TokenizerData& data,
                                                 const boost::json::object& model);
// Merges that are written "a b".
BpeModel::Merges SplitMerges(const std::vector<std::string>& merges);

// What the stage "post_processor" puts around a text. Its ids are in the vocabulary.
absl::StatusOr<PostProcessor> DescribedTemplate(const TokenizerData& data,
                                                const boost::json::value* stage);
// What begins a text: what other files say about BOS decides about one token; more of them only
// the template knows.
std::vector<int32_t> BeginOfText(const TokenizerData& data, const PostProcessor& described);

}  // namespace quantfleet::text
