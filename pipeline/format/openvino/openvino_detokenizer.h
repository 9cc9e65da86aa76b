// Ids to text as a graph of OpenVINO's. Pure.
#pragma once

#include <boost/json/fwd.hpp>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "pipeline/format/openvino/ir_constants.h"
#include "pipeline/format/openvino/ir_graph.h"
#include "text/tokenizer/tokenizer_data.h"

namespace quantfleet::pipeline {

// `texts` are the tokens by id, `special` the ids that no text shows, `decoder` the member of
// tokenizer.json. UNIMPLEMENTED for a decoder that does more than put the bytes of tokens together.
absl::Status BuildOpenVinoDetokenizer(const std::vector<std::string>& texts,
                                      const std::vector<int32_t>& special,
                                      const boost::json::value* decoder, IrGraph& graph,
                                      IrConstants& constants);

}  // namespace quantfleet::pipeline
