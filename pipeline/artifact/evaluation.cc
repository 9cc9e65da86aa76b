#include "pipeline/artifact/evaluation.h"

#include <algorithm>
#include <utility>

#include "pipeline/artifact/memory.h"

namespace quantfleet::pipeline {

const v1::EvaluationStatement* PickEvaluation(
    const std::vector<v1::EvaluationStatement>& evaluations, const v1::Memory& memory,
    uint64_t context, std::string_view kv_type) {
  if (context == 0) context = DefaultContext(memory);
  if (kv_type.empty() && !memory.caches().empty()) kv_type = memory.caches(0).type();
  const auto rank = [&](const v1::EvaluationStatement& e) {
    return std::pair(e.kv_type() == kv_type, e.evaluated_ms());
  };
  const v1::EvaluationStatement* best = nullptr;
  for (const v1::EvaluationStatement& evaluation : evaluations) {
    if (IsLong(memory, evaluation.context()) != IsLong(memory, context)) continue;
    if (best == nullptr || rank(*best) <= rank(evaluation)) best = &evaluation;
  }
  return best;
}

void KeepNewest(v1::EvaluationStatement evaluation,
                google::protobuf::RepeatedPtrField<v1::EvaluationStatement>& kept) {
  const auto same = std::ranges::find_if(kept, [&](const v1::EvaluationStatement& e) {
    return e.kv_type() == evaluation.kv_type() && e.context() == evaluation.context();
  });
  if (same != kept.end()) {
    if (same->evaluated_ms() > evaluation.evaluated_ms()) return;
    kept.erase(same);
  }
  *kept.Add() = std::move(evaluation);
}

}  // namespace quantfleet::pipeline
