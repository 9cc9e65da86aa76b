// Which of an artifact's evaluations is about the way that somebody runs it. Pure.
#pragma once

#include <string_view>
#include <vector>

#include "quantfleet/v1/manifest.pb.h"
#include "quantfleet/v1/trust.pb.h"

namespace quantfleet::pipeline {

// The newest that was made with a context as long or short as this one (memory.h, IsLong), one with
// such a KV cache before all others. nullptr: none was; answers to another kind of context are no
// measure for these. `kv_type` empty: the first of the terms'.
const v1::EvaluationStatement* PickEvaluation(
    const std::vector<v1::EvaluationStatement>& evaluations, const v1::Memory& memory,
    uint64_t context, std::string_view kv_type);

// Adds the evaluation, in place of an older one with the same KV cache and context; where there is
// a newer one, that stays.
void KeepNewest(v1::EvaluationStatement evaluation,
                google::protobuf::RepeatedPtrField<v1::EvaluationStatement>& kept);

}  // namespace quantfleet::pipeline
