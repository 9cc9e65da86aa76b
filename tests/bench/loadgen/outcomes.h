// What came of many calls: latencies, errors by code, and how many are still under way.
// Thread-safe.
#pragma once

#include <boost/json/object.hpp>
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "common/base/status.h"

namespace quantfleet::loadgen {

using SteadyTime = std::chrono::steady_clock::time_point;

class Outcomes {
 public:
  void Begin();
  // `due`: when the call should have begun. One that could not, because the generator or the daemon
  // was busy, counts its wait too: no coordinated omission.
  void End(SteadyTime due, const absl::Status& status);

  // Until at most `most` calls are under way; false after `timeout`.
  bool AwaitUnderWay(size_t most, std::chrono::milliseconds timeout);

  uint64_t errors() const;
  // {"calls", "errors", "by_code": {CODE: n}, "first_error", "latency_ms": {"p50", "p90", "p99",
  // "p999", "max"}}; calls still under way count as errors, under UNFINISHED. Latencies are of the
  // calls that succeeded.
  boost::json::object Report() const;

 private:
  mutable std::mutex mutex_;
  std::condition_variable ended_;
  size_t under_way_ = 0;
  std::vector<float> milliseconds_;
  std::map<std::string, uint64_t> by_code_;
  std::string first_error_;
};

// The smallest value that at least this share of the sorted values does not exceed; 0 of none.
double Quantile(const std::vector<float>& sorted, double share);

}  // namespace quantfleet::loadgen
