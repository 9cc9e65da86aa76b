// The stages of a tokenizer.json that change and cut a text before its model does, as operations of
// OpenVINO's tokenizers. Pure but for the graph.
#pragma once

#include <boost/json/fwd.hpp>
#include <string>

#include "common/base/status.h"
#include "pipeline/format/openvino/ir_texts.h"

namespace quantfleet::pipeline {

// `stage` is the member of tokenizer.json, null where it has none. UNIMPLEMENTED names what the
// operations cannot do.
absl::Status AddNormalizer(const boost::json::value* stage, IrTexts& texts);

// True: the model's vocabulary spells bytes with letters.
absl::StatusOr<bool> AddPreTokenizer(const boost::json::value* stage, IrTexts& texts);

// SentencePiece's mark for a space, where the pre-tokenizer puts one in front of a text that begins
// with neither a space nor a token: it has to stand there before tokens are cut out. Else empty.
absl::StatusOr<std::string> FirstMarkOf(const boost::json::value* stage);

}  // namespace quantfleet::pipeline
