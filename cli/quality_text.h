// What was measured of a model, in a few words. Pure.
#pragma once

#include <string>

#include "quantfleet/v1/types.pb.h"

namespace quantfleet::cli {

// "0.1043 ± 0.0031", with as many digits as the error gives sense; without an error, the value
// alone.
std::string WithError(double value, double error);

// "96.1 % of F16's choices (KL 0.012 ± 0.001)"; of an embedding model, the mean cosine of its
// vectors with the reference's. "not measured" where it was not.
std::string QualityText(const v1::MeasuredArtifact& artifact);

}  // namespace quantfleet::cli
