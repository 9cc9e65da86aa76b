// How far a layer's attention sees in a graph that says so itself.
#pragma once

#include "pipeline/model/description.h"

namespace quantfleet::pipeline {

// Positions, a token's own among them; 0: all in front of it, because the layer has no window or
// the whole context fits in it. Of a model that does not say which layers have its window, all do.
inline int64_t AttentionWindow(const Hyperparameters& hyper, int64_t layer) {
  const int64_t window = hyper.full_every > 0 ? WindowOf(hyper, layer) : hyper.sliding_window;
  return window > 0 && window < hyper.context ? window : 0;
}

// The model for a graph that says how far attention sees: one whose context otherwise ends with its
// window has all of it, and the window in every layer.
inline Hyperparameters WithWindows(Hyperparameters hyper) {
  if (hyper.windowed_context == 0) return hyper;
  hyper.sliding_window = hyper.context;
  hyper.context = hyper.original_context = hyper.windowed_context;
  return hyper;
}

}  // namespace quantfleet::pipeline
