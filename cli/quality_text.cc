#include "cli/quality_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "cli/remote_format.h"

namespace quantfleet::cli {
namespace {

// "gguf:f16" as "F16".
std::string ReferenceName(const v1::EvaluationStatement& evaluation) {
  const std::string& target = evaluation.reference();
  std::string name = Printable(target.substr(target.find(':') + 1));
  std::ranges::transform(name, name.begin(), [](char c) {
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
  });
  return name.empty() ? "the source" : name;
}

}  // namespace

std::string WithError(double value, double error) {
  constexpr int kFewest = 3, kMost = 6;
  constexpr double kLeast = 1e-6;
  if (!(error > kLeast)) return fmt::format("{:.{}f}", value, kFewest);
  // The first digit of the error that is not 0.
  const int digits = std::clamp(static_cast<int>(std::ceil(-std::log10(error))), kFewest, kMost);
  return fmt::format("{0:.{2}f} ± {1:.{2}f}", value, error, digits);
}

std::string QualityText(const v1::MeasuredArtifact& artifact) {
  if (!artifact.has_evaluation()) return "not measured";
  const v1::EvaluationStatement& evaluation = artifact.evaluation();
  if (evaluation.vectors() > 0)
    return fmt::format("its vectors' mean cosine with {}'s is {:.4f}", ReferenceName(evaluation),
                       evaluation.mean_cosine());
  if (evaluation.tokens() == 0) return "not measured: the text is not of this model's kind";
  return fmt::format("{:.1f} % of {}'s choices (KL {})", 100 * evaluation.top1_agreement(),
                     ReferenceName(evaluation),
                     WithError(evaluation.mean_kl(), evaluation.kl_error()));
}

}  // namespace quantfleet::cli
