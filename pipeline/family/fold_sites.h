// Where a model's numbers may move from one weight to another without changing what it computes:
// each column of some products' input is a row of the weight before it (an element of the norm), so
// that one may be divided and the other multiplied by the same. Follows from a family's description
// alone. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pipeline/model/description.h"

namespace quantfleet::pipeline {

struct FoldSite {
  Role from;  // the norm, or the product whose rows they are
  int layer;
  int expert = -1;
  int64_t width = 0;  // numbers that may move
  // Column c of a consumer takes number (c / (run * repeats)) * run + c % run: heads of queries
  // that share one of values share its numbers.
  int64_t run = 0, repeats = 1;
  // Indices into ModelDescription::pieces. Vectors have the numbers as elements, matrices as rows;
  // those that read them as columns.
  std::vector<uint32_t> producers = {}, consumers = {};

  int64_t NumberOf(int64_t column) const { return column / (run * repeats) * run + column % run; }
};

// "blk.3.ffn_norm", for messages.
std::string NameOf(const FoldSite& site);

// In the order of layers. Of a layer: its norms and what reads them, values and the output of
// attention, and what a gate multiplies and the product behind it. Never through a rotary
// embedding, a norm of heads or a function that is not linear; not the head, whose embedding may be
// the same tensor; no norm that is also added to something, as an encoder's are.
std::vector<FoldSite> FoldSitesOf(const ModelDescription& model);

}  // namespace quantfleet::pipeline
