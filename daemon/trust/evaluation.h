// What was measured of an artifact, out of the statements that stand beside it. Pure.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "common/trust/statement.h"
#include "quantfleet/v1/trust.pb.h"

namespace quantfleet::daemon {

// The oldest first; the daemon's own records are not verified again.
inline std::vector<v1::EvaluationStatement> EvaluationsIn(const std::vector<v1::Signed>& statements) {
  std::vector<v1::EvaluationStatement> evaluations;
  for (const v1::Signed& statement : statements) {
    v1::EvaluationStatement evaluation;
    if (statement.payload_type() == trust::kEvaluationStatementType && evaluation.ParseFromString(statement.payload()))
      evaluations.push_back(std::move(evaluation));
  }
  std::ranges::stable_sort(evaluations, {}, &v1::EvaluationStatement::evaluated_ms);
  return evaluations;
}

// The newest that was made with such a KV cache; where there is none, the newest. nullptr: none was made.
inline const v1::EvaluationStatement* PickEvaluation(const std::vector<v1::EvaluationStatement>& evaluations,
                                                     std::string_view kv_type) {
  if (evaluations.empty()) return nullptr;
  const auto same = std::find_if(evaluations.rbegin(), evaluations.rend(),
                                 [&](const v1::EvaluationStatement& e) { return e.kv_type() == kv_type; });
  return same == evaluations.rend() ? &evaluations.back() : &*same;
}

// Of those of one type of KV cache the newest alone.
inline std::vector<v1::EvaluationStatement> NewestPerKvType(std::vector<v1::EvaluationStatement> evaluations) {
  std::vector<v1::EvaluationStatement> newest;
  for (v1::EvaluationStatement& evaluation : evaluations) {
    std::erase_if(newest, [&](const v1::EvaluationStatement& e) { return e.kv_type() == evaluation.kv_type(); });
    newest.push_back(std::move(evaluation));
  }
  return newest;
}

}  // namespace quantfleet::daemon
