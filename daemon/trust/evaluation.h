// What was measured of an artifact, from the statements about it. Pure.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "common/trust/statement.h"
#include "quantfleet/v1/trust.pb.h"

namespace quantfleet::daemon {

// The oldest first; the daemon's own records are not verified again.
inline std::vector<v1::EvaluationStatement> EvaluationsIn(
    const std::vector<v1::Signed>& statements) {
  std::vector<v1::EvaluationStatement> evaluations;
  for (const v1::Signed& statement : statements) {
    v1::EvaluationStatement evaluation;
    if (statement.payload_type() != trust::kEvaluationStatementType ||
        !evaluation.ParseFromString(statement.payload()))
      continue;
    const auto later = std::ranges::upper_bound(evaluations, evaluation.evaluated_ms(), {},
                                                &v1::EvaluationStatement::evaluated_ms);
    evaluations.insert(later, std::move(evaluation));
  }
  return evaluations;
}

}  // namespace quantfleet::daemon
