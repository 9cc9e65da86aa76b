// What a type costs in precision, for plans: figures, not promises. Pure.
#pragma once

#include "pipeline/tensor/dtype.h"

namespace quantfleet::pipeline {

// The expected relative error of weights of type `from` stored as `to`: the root of the mean
// squared error over the root mean square, as measured on normally distributed weights without
// importance (the test measures it again). 0 where `to` holds every value of `from`.
double ExpectedError(DType from, DType to);

}  // namespace quantfleet::pipeline
