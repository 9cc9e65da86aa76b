// What was measured of an artifact, out of the statements that stand beside it. Pure.
#pragma once

#include <optional>
#include <vector>

#include "common/trust/statement.h"
#include "quantfleet/v1/trust.pb.h"

namespace quantfleet::daemon {

// The newest; the daemon's own records are not verified again.
inline std::optional<v1::EvaluationStatement> NewestEvaluation(const std::vector<v1::Signed>& statements) {
  std::optional<v1::EvaluationStatement> newest;
  for (const v1::Signed& statement : statements) {
    v1::EvaluationStatement evaluation;
    if (statement.payload_type() != trust::kEvaluationStatementType || !evaluation.ParseFromString(statement.payload()))
      continue;
    if (!newest || newest->evaluated_ms() <= evaluation.evaluated_ms()) newest = std::move(evaluation);
  }
  return newest;
}

}  // namespace quantfleet::daemon
