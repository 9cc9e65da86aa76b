// How fast this machine's kernels are: the ones that the engine runs, so that a device class may
// ask for a speed that means something.
#pragma once

#include "common/base/clock.h"

namespace quantfleet::engine {

// Billions of multiply-adds per second on one core, of Q4_0 rows with a batch of eight, from the
// cache: what bounds a prompt, as memory bandwidth bounds generation. The best of what `most`
// allows for; about as long as that.
double MeasureKernel(Duration most = std::chrono::milliseconds(40));

}  // namespace quantfleet::engine
