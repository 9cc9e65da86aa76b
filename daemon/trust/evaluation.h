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
    if (statement.payload_type() != trust::kEvaluationStatementType || !evaluation.ParseFromString(statement.payload())) continue;
    const auto later =
        std::ranges::upper_bound(evaluations, evaluation.evaluated_ms(), {}, &v1::EvaluationStatement::evaluated_ms);
    evaluations.insert(later, std::move(evaluation));
  }
  return evaluations;
}

// Of those of one type of KV cache and one context the newest alone.
inline std::vector<v1::EvaluationStatement> NewestOfEach(std::vector<v1::EvaluationStatement> evaluations) {
  std::vector<v1::EvaluationStatement> newest;
  for (v1::EvaluationStatement& evaluation : evaluations) {
    std::erase_if(newest, [&](const v1::EvaluationStatement& e) {
      return e.kv_type() == evaluation.kv_type() && e.context() == evaluation.context();
    });
    newest.push_back(std::move(evaluation));
  }
  return newest;
}

}  // namespace quantfleet::daemon
