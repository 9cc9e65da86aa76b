// How the inputs of a model's matrices go together: for each input the sum over its rows of x_i *
// x_j, as a calibration measured it. Error feedback rounds with it. Too large for memory all at
// once: read input by input. Thread-safe.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "common/base/digest.h"
#include "common/base/status.h"

namespace quantfleet::pipeline {

class SecondMoments {
 public:
  virtual ~SecondMoments() = default;

  // SHA-256 of the file: a part of what an artifact was made by.
  virtual const Digest& digest() const = 0;
  // Number of what the piece is multiplied with, which others may share; -1 where nothing is said
  // of it. By ModelDescription::pieces.
  virtual int64_t InputOf(size_t piece) const = 0;
  // What the file calls it, for messages.
  virtual const std::string& NameOf(int64_t input) const = 0;
  // Values [first, first + out.size()) of an input's lower triangle by rows: row i holds columns 0
  // .. i.
  virtual absl::Status Read(int64_t input, uint64_t first, std::span<float> out) const = 0;
};

}  // namespace quantfleet::pipeline
