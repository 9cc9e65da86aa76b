// Second moments that a test says value by value.
#pragma once

#include <string>

#include "pipeline/model/second_moments.h"

namespace quantfleet::pipeline {

class MadeMoments : public SecondMoments {
 public:
  // Of row >= column.
  virtual float At(int64_t input, int64_t row, int64_t column) const = 0;

  const Digest& digest() const override { return digest_; }
  const std::string& NameOf(int64_t) const override { return name_; }
  absl::Status Read(int64_t input, uint64_t first, std::span<float> out) const override {
    int64_t row = 0;
    while ((row + 1) * (row + 2) / 2 <= static_cast<int64_t>(first)) ++row;
    int64_t column = static_cast<int64_t>(first) - row * (row + 1) / 2;
    for (float& value : out) {
      value = At(input, row, column);
      if (++column > row) ++row, column = 0;
    }
    return absl::OkStatus();
  }

 private:
  const Digest digest_ = HashText("moments");
  const std::string name_ = "an input";
};

}  // namespace quantfleet::pipeline
