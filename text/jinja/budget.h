// What a rendering may take. Templates come from strangers: one that loops for ever, or doubles a
// text for ever, ends with an error before it harms. Not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>

#include "common/base/status.h"

namespace quantfleet::jinja {

// No published template comes near any of these.
inline constexpr uint64_t kMaxSteps = 5'000'000;              // expressions, statements, elements
inline constexpr uint64_t kMaxMadeBytes = uint64_t{1} << 28;  // of all texts together, once made
inline constexpr int64_t kMaxWidth = 100'000;                 // of padding
inline constexpr size_t kMaxTextBytes = size_t{1} << 24;      // of one text, and of the output
inline constexpr int kMaxDepth = 500;       // of expressions, blocks and calls in each other
inline constexpr size_t kMaxNesting = 100;  // of values in each other
inline constexpr size_t kMaxWeight = size_t{1} << 22;  // of a value (Value::weight)

class Budget {
 public:
  absl::Status Take(uint64_t steps) {
    if (steps <= steps_) {
      steps_ -= steps;
      return absl::OkStatus();
    }
    steps_ = 0;
    return ResourceExhausted("the template takes more than {} steps", kMaxSteps);
  }
  // Before a text, or a list of so many elements, is made.
  absl::Status TakeBytes(uint64_t bytes) {
    if (bytes <= kMaxTextBytes && bytes <= bytes_) {
      bytes_ -= bytes;
      return absl::OkStatus();
    }
    return ResourceExhausted("the template makes texts of more than {} bytes", kMaxTextBytes);
  }
  absl::Status Enter() {
    if (depth_ >= kMaxDepth)
      return ResourceExhausted("the template is nested more than {} deep", kMaxDepth);
    ++depth_;
    return absl::OkStatus();
  }
  void Leave() { --depth_; }

 private:
  uint64_t steps_ = kMaxSteps, bytes_ = kMaxMadeBytes;
  int depth_ = 0;
};

}  // namespace quantfleet::jinja
