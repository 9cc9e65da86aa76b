#include "pipeline/recipe/mix.h"

#include <algorithm>
#include <optional>
#include <tuple>

#include "common/base/bytes.h"

namespace quantfleet::pipeline {
namespace {

// The lower convex hull of a tensor's choices, from the fewest bytes on: each step saves less harm
// per byte than the one before it.
std::vector<size_t> HullOf(const std::vector<MixChoice>& choices) {
  std::vector<size_t> order(choices.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::ranges::sort(order, {},
                    [&](size_t i) { return std::tuple(choices[i].bytes, choices[i].harm, i); });
  std::vector<size_t> hull;
  const auto rate = [&](size_t from, size_t to) {
    return (choices[from].harm - choices[to].harm) /
           static_cast<double>(choices[to].bytes - choices[from].bytes);
  };
  for (const size_t i : order) {
    if (!hull.empty() && choices[i].harm >= choices[hull.back()].harm) continue;
    while (hull.size() > 1 && rate(hull[hull.size() - 2], hull.back()) <= rate(hull.back(), i))
      hull.pop_back();
    hull.push_back(i);
  }
  return hull;
}

class Solver {
 public:
  Solver(const std::vector<MixTensor>& tensors, uint64_t budget)
      : tensors_(tensors), budget_(budget) {
    for (const MixTensor& tensor : tensors) hulls_.push_back(HullOf(tensor.choices));
  }

  TypeMix Run() {
    TakeAt(LeastPrice());
    while (SpendRest()) {
    }
    Sum();
    return std::move(mix_);
  }

 private:
  const MixChoice& Chosen(size_t tensor) const {
    return tensors_[tensor].choices[mix_.chosen[tensor]];
  }

  // Of each tensor's hull what is best when a byte costs `price`.
  void TakeAt(double price) {
    mix_.chosen.clear();
    for (size_t t = 0; t < tensors_.size(); ++t) {
      const std::vector<MixChoice>& choices = tensors_[t].choices;
      size_t best = hulls_[t].front();
      for (const size_t i : hulls_[t]) {
        const double saved = choices[best].harm - choices[i].harm,
                     paid = price * static_cast<double>(choices[i].bytes - choices[best].bytes);
        if (saved > paid) best = i;
      }
      mix_.chosen.push_back(best);
    }
    Sum();
  }

  // The least price of a byte, nearly, at which what is taken is within the budget: by bisection.
  double LeastPrice() {
    TakeAt(0);
    if (mix_.bytes <= budget_) return 0;
    double low = 0, high = 1;
    for (TakeAt(high); mix_.bytes > budget_; TakeAt(high)) high *= 16;
    while (high - low > 1e-12 * high) {
      const double middle = low + (high - low) / 2;
      TakeAt(middle);
      (mix_.bytes > budget_ ? low : high) = middle;
    }
    return high;
  }

  // One tensor gets another type, whichever saves the most harm per byte of what is left.
  bool SpendRest() {
    struct Step {
      double saved;
      uint64_t bytes;
      size_t tensor, choice;
    };
    std::optional<Step> best;
    for (size_t t = 0; t < tensors_.size(); ++t) {
      const MixChoice& now = Chosen(t);
      for (size_t i = 0; i < tensors_[t].choices.size(); ++i) {
        const MixChoice& other = tensors_[t].choices[i];
        const double saved = now.harm - other.harm;
        if (saved <= 0) continue;
        const uint64_t bytes = other.bytes > now.bytes ? other.bytes - now.bytes : 0;
        if (bytes > budget_ - mix_.bytes) continue;
        // By rate, without dividing by 0 bytes.
        if (!best ||
            saved * static_cast<double>(best->bytes) > best->saved * static_cast<double>(bytes))
          best = Step{saved, bytes, t, i};
      }
    }
    if (!best) return false;
    mix_.chosen[best->tensor] = best->choice;
    Sum();
    return true;
  }

  void Sum() {
    mix_.bytes = 0;
    mix_.harm = 0;
    for (size_t t = 0; t < tensors_.size(); ++t) {
      mix_.bytes += Chosen(t).bytes;
      mix_.harm += Chosen(t).harm;
    }
  }

  const std::vector<MixTensor>& tensors_;
  const uint64_t budget_;
  std::vector<std::vector<size_t>> hulls_;
  TypeMix mix_;
};

}  // namespace

uint64_t SmallestMix(const std::vector<MixTensor>& tensors) {
  uint64_t bytes = 0;
  for (const MixTensor& tensor : tensors)
    bytes += std::ranges::min(tensor.choices, {}, &MixChoice::bytes).bytes;
  return bytes;
}

absl::StatusOr<TypeMix> SolveMix(const std::vector<MixTensor>& tensors, uint64_t budget) {
  const uint64_t least = SmallestMix(tensors);
  if (least > budget)
    return ResourceExhausted("the smallest mix has {} bytes of weights, which exceeds {}", least,
                             budget);
  return Solver(tensors, budget).Run();
}

}  // namespace quantfleet::pipeline
