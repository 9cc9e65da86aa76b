// What every emitter does alike: pieces fused to output tensors, files put together to a layout.
// Pure.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "pipeline/format/target_layout.h"
#include "pipeline/model/source.h"
#include "pipeline/recipe/recipe.h"

namespace quantfleet::pipeline {

// A tensor of the output: the rows of one piece, or of several that the format fuses, in its order.
struct OutputTensor {
  std::string name;
  std::vector<uint32_t> pieces;  // never empty
  int64_t rows, cols;            // of all pieces; 1-D: rows 1, cols their elements together; 3-D:
                                 // the rows of all experts
  int dims;
  int layer;
  std::vector<Role> roles = {};  // each once
  int64_t matrices = 1;          // of a 3-D tensor, or of a vector by expert: experts

  // "[8, 96, 64]": as files say it.
  std::vector<int64_t> shape() const;

  // As recipes see it; lives as long as this.
  TargetTensor Seen() const {
    return {.name = name, .roles = roles, .layer = layer, .cols = cols, .dims = dims};
  }
};

// How a format calls the tensor that has a piece; `layer` and `expert` as Piece has them.
using TensorNames = std::function<std::string(Role role, int layer, int expert)>;

// Pieces stand in canonical order; neighbours of one name are one tensor. Names that are the same
// for all experts of a layer are of one tensor with three dimensions. Of experts it has, if it has
// several roles, the first expert's pieces, then the next one's.
std::vector<OutputTensor> FusePieces(const ModelDescription& model, const TensorNames& name_of);

// The type that a tensor gets for which groups of `asked` are asked: that one, if it divides the
// tensor's rows and the format `holds` it; else the same with the next smaller groups of which that
// is true, else with 8 bits, else F16, which every format holds. Another than `asked` is added to
// `fallbacks`.
DType FittingType(
    const OutputTensor& tensor, DType asked, std::vector<TypeFallback>& fallbacks,
    const std::function<bool(DType)>& holds = [](DType) { return true; });

// A file and what lies in it; `file` of the pieces is filled in by Assemble.
struct PlannedFile {
  OutputFile file;
  std::vector<PlacedPiece> pieces = {};  // by offset
};

// A file that is known already.
PlannedFile WholeFile(std::string path, std::string content);

// Of the files that hold weights: what a runtime maps or loads.
uint64_t WeightBytes(const std::vector<PlannedFile>& files);

// Sorts the files; every attachment becomes one. INVALID_ARGUMENT when two have one name.
absl::StatusOr<TargetLayout> Assemble(v1::Memory memory, std::vector<PlannedFile> files,
                                      const std::vector<Attachment>& attachments,
                                      std::vector<TypeFallback> fallbacks = {});

}  // namespace quantfleet::pipeline
