#include "engine/measure/comparison.h"

#include <algorithm>
#include <cmath>

#include "engine/decode/likeliest.h"

namespace quantfleet::engine {
namespace {

using Row = std::span<const float>;

double LogSumExp(Row logits) {
  const double most = *std::ranges::max_element(logits);
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - most);
  return std::log(sum) + most;
}

// Sums over the positions seen so far.
struct Sums {
  double nll = 0, reference_nll = 0, kl = 0;
  int64_t positions = 0, agreed = 0;

  void Add(Row reference, Row candidate, int32_t next) {
    const double reference_total = LogSumExp(reference), total = LogSumExp(candidate);
    reference_nll += reference_total - reference[next];
    nll += total - candidate[next];
    for (size_t v = 0; v < reference.size(); ++v) {
      const double log_p = reference[v] - reference_total;
      kl += std::exp(log_p) * (log_p - (candidate[v] - total));
    }
    agreed += Likeliest(reference) == Likeliest(candidate);
    ++positions;
  }
};

absl::Status Check(const Engine& reference, const Engine& candidate,
                   std::span<const int32_t> tokens, int64_t window) {
  if (tokens.size() < 2)
    return InvalidArgument("the text has {} tokens; a comparison needs at least 2", tokens.size());
  if (window < 2) return InvalidArgument("the window has {} tokens; at least 2 are needed", window);
  const int64_t longest = std::min<int64_t>(window, static_cast<int64_t>(tokens.size()));
  const int64_t context = std::min(reference.context(), candidate.context());
  if (context < longest)
    return InvalidArgument("a window of {} tokens exceeds the context of {}", longest, context);
  if (candidate.vocab() != reference.vocab())
    return InvalidArgument(
        "the models have vocabularies of {} and {} tokens: they are not made from the same source",
        reference.vocab(), candidate.vocab());
  if (std::ranges::any_of(tokens, [&](int32_t t) { return t < 0 || t >= reference.vocab(); }))
    return InvalidArgument("the text has a token outside the vocabulary");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Comparison> Compare(Engine& reference, Engine& candidate,
                                   std::span<const int32_t> tokens,
                                   const ComparisonOptions& options) {
  QF_RETURN_IF_ERROR(Check(reference, candidate, tokens, options.window));
  Sums sums;
  const auto width = static_cast<size_t>(reference.vocab()),
             length = static_cast<size_t>(options.window);
  for (size_t at = 0; at + 1 < tokens.size(); at += length) {
    if (options.stop.stop_requested()) return Cancelled("stopped while comparing models");
    const auto window = tokens.subspan(at, std::min(length, tokens.size() - at));
    QF_ASSIGN_OR_RETURN(const std::vector<float> wanted, reference.Logits(window));
    QF_ASSIGN_OR_RETURN(const std::vector<float> got, candidate.Logits(window));
    for (size_t t = 0; t + 1 < window.size(); ++t)
      sums.Add(Row(wanted).subspan(t * width, width), Row(got).subspan(t * width, width),
               window[t + 1]);
  }
  if (!std::isfinite(sums.nll) || !std::isfinite(sums.reference_nll) || !std::isfinite(sums.kl))
    return DataLoss("a model produces NaN or infinite logits: its weights are damaged");
  const auto n = static_cast<double>(sums.positions);
  return Comparison{.tokens = sums.positions,
                    .mean_nll = sums.nll / n,
                    .reference_mean_nll = sums.reference_nll / n,
                    .top1_agreement = static_cast<double>(sums.agreed) / n,
                    .mean_kl = sums.kl / n};
}

}  // namespace quantfleet::engine
