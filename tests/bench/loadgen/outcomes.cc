#include "tests/bench/loadgen/outcomes.h"

#include <algorithm>
#include <cmath>

namespace quantfleet::loadgen {
namespace {

double Tenths(double value) { return std::round(value * 10) / 10; }

}  // namespace

double Quantile(const std::vector<float>& sorted, double share) {
  if (sorted.empty()) return 0;
  const auto rank = static_cast<size_t>(std::ceil(share * static_cast<double>(sorted.size())));
  return sorted[std::clamp<size_t>(rank, 1, sorted.size()) - 1];
}

void Outcomes::Begin() {
  std::lock_guard lock(mutex_);
  ++under_way_;
}

void Outcomes::End(SteadyTime due, const absl::Status& status) {
  const std::chrono::duration<float, std::milli> took = std::chrono::steady_clock::now() - due;
  std::lock_guard lock(mutex_);
  --under_way_;
  if (status.ok()) {
    milliseconds_.push_back(took.count());
  } else {
    ++by_code_[std::string(ToStd(absl::StatusCodeToString(status.code())))];
    if (first_error_.empty()) first_error_ = Describe(status);
  }
  ended_.notify_all();
}

bool Outcomes::AwaitUnderWay(size_t most, std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  return ended_.wait_for(lock, timeout, [&] { return under_way_ <= most; });
}

uint64_t Outcomes::errors() const {
  std::lock_guard lock(mutex_);
  uint64_t errors = under_way_;
  for (const auto& [code, n] : by_code_) errors += n;
  return errors;
}

boost::json::object Outcomes::Report() const {
  const uint64_t failed = errors();
  std::lock_guard lock(mutex_);
  std::vector<float> sorted = milliseconds_;
  std::ranges::sort(sorted);
  boost::json::object by_code;
  for (const auto& [code, n] : by_code_) by_code[code] = n;
  if (under_way_ > 0) by_code["UNFINISHED"] = under_way_;
  return {{"calls", sorted.size() + failed},
          {"errors", failed},
          {"by_code", by_code},
          {"first_error", first_error_},
          {"latency_ms",
           {{"p50", Tenths(Quantile(sorted, 0.5))},
            {"p90", Tenths(Quantile(sorted, 0.9))},
            {"p99", Tenths(Quantile(sorted, 0.99))},
            {"p999", Tenths(Quantile(sorted, 0.999))},
            {"max", Tenths(sorted.empty() ? 0 : sorted.back())}}}};
}

}  // namespace quantfleet::loadgen
