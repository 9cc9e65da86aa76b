// A whole fit: errors of a sample of rows, sensitivities, the mix, and its comparison with the
// named recipe of about the same size (docs/quality.md#a-byte-budget).
#pragma once

#include <boost/json/object.hpp>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "cli/fit_budget.h"
#include "engine/measure/comparison.h"
#include "pipeline/recipe/recipe.h"

namespace quantfleet::cli {

struct FitOptions {
  std::string source, calibration, format, out, name, text, rounding;
  BudgetWords budget;
  uint64_t memory_mib = 4096;
  int threads = 0;
  bool no_check = false, dry_run = false, force = false, json = false;
};

struct FitResult {
  struct Share {
    int64_t tensors = 0;
    uint64_t bytes = 0;
  };
  pipeline::Recipe recipe;  // that was written
  uint64_t bytes = 0;       // of its artifact
  double predicted = 0;     // nats per token, of the mix
  std::map<pipeline::DType, Share> types;
  size_t cells = 0, cells_measured = 0;  // the others were there
  std::string named;                     // of about the same size; empty: none is as small
  bool taken = true;                     // the mix; false: the named recipe
  std::optional<engine::Comparison> mix, of_named;
  std::vector<std::string> notes;
  std::string summary;  // for people
  // Of a dry run alone.
  int64_t layer_passes = 0;
  uint64_t memory = 0;
  double seconds = 0;  // 0: not measured
};

boost::json::object CostJson(const FitResult& result);

// The recipe is written on success. With dry_run nothing is, and the result says what it takes.
// Errors are those of its parts; CANCELLED when stopped, after which the same call goes on.
absl::StatusOr<FitResult> RunFit(const FitOptions& options, const std::stop_token& stop);

}  // namespace quantfleet::cli
