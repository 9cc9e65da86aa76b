// Which of an artifact's evaluations applies to a given way of running it. Pure.
#pragma once

#include <string_view>
#include <vector>

#include "quantfleet/v1/manifest.pb.h"
#include "quantfleet/v1/trust.pb.h"

namespace quantfleet::pipeline {

// The newest that was made with a context of the same kind (memory.h, IsLong), preferably with this
// KV cache. nullptr: there is none; answers with the other kind of context cannot be compared with
// these. `kv_type` empty: the first of the terms'.
const v1::EvaluationStatement* PickEvaluation(
    const std::vector<v1::EvaluationStatement>& evaluations, const v1::Memory& memory,
    uint64_t context, std::string_view kv_type);

// Adds the evaluation in place of an older one with the same KV cache and context; a newer one
// stays.
void KeepNewest(v1::EvaluationStatement evaluation,
                google::protobuf::RepeatedPtrField<v1::EvaluationStatement>& kept);

}  // namespace quantfleet::pipeline
