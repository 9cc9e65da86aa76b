#include "engine/measure/comparison.h"

#include <algorithm>
#include <cmath>
#include <numeric>

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

// What the positions seen so far show.
struct Seen {
  int64_t agreed = 0;
  std::vector<double> nll, reference_nll, kl;  // of each position

  void Add(Row reference, Row candidate, int32_t next) {
    const double reference_total = LogSumExp(reference), total = LogSumExp(candidate);
    reference_nll.push_back(reference_total - reference[next]);
    nll.push_back(total - candidate[next]);
    double& divergence = kl.emplace_back();
    for (size_t v = 0; v < reference.size(); ++v) {
      const double log_p = reference[v] - reference_total;
      divergence += std::exp(log_p) * (log_p - (candidate[v] - total));
    }
    agreed += Likeliest(reference) == Likeliest(candidate);
  }
};

double Mean(std::span<const double> values) {
  return std::reduce(values.begin(), values.end()) / static_cast<double>(values.size());
}

// Of the mean of independent values.
double StandardError(std::span<const double> values) {
  if (values.size() < 2) return 0;
  const double mean = Mean(values), n = static_cast<double>(values.size());
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  return std::sqrt(squares / (n - 1) / n);
}

// The least value that at least 99 in 100 of them do not exceed.
double Percentile99(std::vector<double> values) {
  const auto at = values.begin() + static_cast<int64_t>((values.size() * 99 + 99) / 100) - 1;
  std::ranges::nth_element(values, at);
  return *at;
}

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
  Seen seen;
  const auto width = static_cast<size_t>(reference.vocab()),
             length = static_cast<size_t>(options.window);
  for (size_t at = 0; at + 1 < tokens.size(); at += length) {
    if (options.stop.stop_requested()) return Cancelled("stopped while comparing models");
    const auto window = tokens.subspan(at, std::min(length, tokens.size() - at));
    QF_ASSIGN_OR_RETURN(const std::vector<float> wanted, reference.Logits(window));
    QF_ASSIGN_OR_RETURN(const std::vector<float> got, candidate.Logits(window));
    for (size_t t = 0; t + 1 < window.size(); ++t)
      seen.Add(Row(wanted).subspan(t * width, width), Row(got).subspan(t * width, width),
               window[t + 1]);
    if (options.on_progress) options.on_progress(at + window.size(), tokens.size());
  }
  const double mean_kl = Mean(seen.kl), mean_nll = Mean(seen.nll),
               reference_mean_nll = Mean(seen.reference_nll);
  if (!std::isfinite(mean_nll) || !std::isfinite(reference_mean_nll) || !std::isfinite(mean_kl))
    return DataLoss("a model produces NaN or infinite logits: its weights are damaged");
  return Comparison{
      .tokens = static_cast<int64_t>(seen.kl.size()),
      .mean_nll = mean_nll,
      .reference_mean_nll = reference_mean_nll,
      .nll_error = StandardError(seen.nll),
      .reference_nll_error = StandardError(seen.reference_nll),
      .top1_agreement = static_cast<double>(seen.agreed) / static_cast<double>(seen.kl.size()),
      .mean_kl = mean_kl,
      .kl_error = StandardError(seen.kl),
      .kl_p99 = Percentile99(seen.kl)};
}

}  // namespace quantfleet::engine
