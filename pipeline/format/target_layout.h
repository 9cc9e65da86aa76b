// What an emitter promises before any weight is read: files of exact sizes, the bytes that are
// known already, and where each piece lands in which element type. Plain values.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/base/digest.h"
#include "pipeline/model/description.h"
#include "pipeline/tensor/dtype.h"
#include "pipeline/tensor/part.h"
#include "quantfleet/v1/manifest.pb.h"

namespace quantfleet::pipeline {

struct FixedBytes {
  uint64_t offset;
  std::string bytes;
};

struct OutputFile {
  std::string path;  // "model.gguf"
  uint64_t size;
  std::vector<FixedBytes> fixed;  // headers, or the whole of a small file; never overlaps a piece
};

// All rows of one piece, contiguous, in `order`: whole blocks of `dtype`, or that part of each
// block which this place keeps. A format that spreads a weight over codes and scales places its
// piece once per part.
struct PlacedPiece {
  uint32_t piece;  // index into ModelDescription::pieces
  uint32_t file;
  uint64_t offset;
  DType dtype;
  RowOrder order;
  uint32_t padding = 0;  // zero bytes that follow the last row
  std::string tensor;    // the output tensor's name, for people
  Part part = Part::kBlocks;
  float lacks = 0;  // as Piece::lacks: what the format leaves out of each value
};

inline int64_t PlacedBytes(const PlacedPiece& placed, int64_t rows, int64_t cols) {
  return PartBytes(placed.part, placed.dtype, rows, cols);
}
inline int64_t RowBytes(const PlacedPiece& placed, int64_t cols) {
  return PlacedBytes(placed, 1, cols);
}

// A tensor whose rows the type that was asked for does not divide, or cannot hold.
struct TypeFallback {
  std::string tensor;  // as PlacedPiece has it
  DType asked, taken;
};

struct TargetLayout {
  std::vector<OutputFile> files;    // sorted by path
  std::vector<PlacedPiece> pieces;  // by file, then offset
  v1::Memory memory;                // what running it takes
  std::vector<TypeFallback> fallbacks = {};
  std::optional<Digest> ranges = {};    // of the activation ranges that its scales follow from
  std::vector<std::string> notes = {};  // what the artifact lacks: sentences for people
};

}  // namespace quantfleet::pipeline
