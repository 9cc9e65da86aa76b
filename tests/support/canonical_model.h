// A model's description without files: each piece of its family as it is named and shaped.
#pragma once

#include "pipeline/family/family.h"
#include "pipeline/family/shapes.h"

namespace quantfleet::testing {

// All pieces are of one tensor, so nothing can be read.
inline pipeline::ModelDescription CanonicalModel(std::string_view family,
                                                 const pipeline::Hyperparameters& hyper) {
  pipeline::ModelDescription model;
  model.family = pipeline::FindFamily(family);
  model.hyper = hyper;
  for (const pipeline::PieceName& name :
       pipeline::CanonicalPieces(*model.family, model.hyper, false)) {
    const pipeline::Shape s = pipeline::ShapeOf(model.hyper, name.role);
    model.pieces.push_back({.role = name.role,
                            .layer = name.layer,
                            .rows = s.rows,
                            .cols = s.cols,
                            .dims = s.dims,
                            .tensor = 0,
                            .first_row = 0,
                            .expert = name.expert});
  }
  return model;
}

}  // namespace quantfleet::testing
