// One worker's way through one slab: read, hash source blocks, check and decode strips, encode each
// strip once per element type, give its rows or parts of them to every place, store chunks as they
// fill up. A worker owns its buffers and belongs to one thread; many work side by side.
#pragma once

#include <functional>
#include <vector>

#include "common/base/digest.h"
#include "pipeline/model/source.h"
#include "pipeline/stage/column_factors.h"
#include "pipeline/stage/executor.h"
#include "pipeline/tensor/codec.h"

namespace quantfleet::pipeline {

// One place where a piece goes: its chunks are chunks[first_chunk ...] of the target, each
// `chunk_rows` tall but for the last.
struct PieceOutput {
  uint32_t target;
  const PlacedPiece* placed;
  uint32_t first_chunk;
  int64_t chunk_rows, row_bits;
};

// An element type that a piece is needed in, less what those files leave out, and a way to choose
// its codes: encoded once, whatever the number of places.
struct PieceEncoding {
  DType dtype;
  float added;  // to each value of the source
  const Codec* codec;
  int64_t row_bytes;
  const float* importance;                // of the piece's columns, or null: they count alike
  const BlockGrid* grid;                  // what the rounder rounds to; null: the codec does
  bool feeds_back;                        // by the piece's input
  bool wants_feedback = false;            // some place does, whether or not there is what it needs
  std::vector<PieceOutput> outputs = {};  // never empty
};

// How one piece travels.
struct PieceJob {
  const Piece* piece;
  const SourceTensor* tensor;
  const Codec* decoder;
  int64_t rows, cols, source_row_bytes;
  int64_t head_rows;   // 1: no target permutes
  int64_t block_rows;  // of the source digest
  int64_t read_rows;   // read at once
  int64_t strip_rows;  // decoded at once: stays in cache, whole heads
  Fold::OfPiece fold;
  std::vector<PieceEncoding> encodings;
  size_t outputs = 0;  // of all encodings
  int64_t input = -1;  // whose second moments some encoding's feedback needs; -1: none does
};

// Whether the encoding is what the source has, byte for byte.
inline bool Copies(const PieceJob& job, DType dtype, float added) {
  return dtype == job.tensor->dtype && added == 0 && !job.fold;
}

// What the rounder would round a piece to; null: codecs alone choose the type's codes, or there is
// nothing to choose as the source has them.
const BlockGrid* RoundsTo(const PieceJob& job, DType dtype, float added);

// The plan seen from its pieces. `plan` and `model` must outlive the result.
absl::StatusOr<std::vector<PieceJob>> JobsOf(const ModelDescription& model, const Plan& plan);

// Sizes of the buffers that suffice for every slab.
struct WorkerBuffers {
  uint64_t read_bytes = 0, among_bytes = 0, strip_elements = 0, encoded_bytes = 0;
  uint64_t rounding_bytes = 0;
  std::vector<uint64_t> chunk_bytes;  // one per simultaneous output, encoding by encoding
  uint64_t total() const;
};
WorkerBuffers BuffersFor(const Plan& plan, const std::vector<PieceJob>& jobs);
// The largest factor that feedback needs; 0: none.
uint64_t FactorBytes(const std::vector<PieceJob>& jobs);

class SlabWorker {
 public:
  SlabWorker(const ModelSource& source, const Plan& plan, const std::vector<PieceJob>& jobs,
             const WorkerBuffers& buffers, ColumnFactors& factors, ChunkSink& sink,
             std::function<bool()> stopped);
  SlabWorker(const SlabWorker&) = delete;
  SlabWorker& operator=(const SlabWorker&) = delete;

  absl::StatusOr<SlabRecord> Process(const Slab& slab);
  // Values that codecs have encoded here, since the beginning.
  uint64_t values_encoded() const { return values_encoded_; }

 private:
  // The chunk that an output is filling.
  struct Filling {
    Bytes buffer;
    int64_t next_row = 0;  // of the piece, in the target's order
  };

  absl::Status ReadRows(const PieceJob& job, int64_t row, int64_t rows, SlabRecord& record);
  absl::Status DecodeStrip(const PieceJob& job, ByteSpan raw, int64_t row, int64_t rows);
  void Encode(const PieceJob& job, const PieceEncoding& encoding, const float* values,
              int64_t rows);
  absl::StatusOr<ByteSpan> EncodeStrip(const PieceJob& job, const PieceEncoding& encoding,
                                       ByteSpan raw, int64_t row, int64_t rows);
  absl::Status Feed(const PieceJob& job, const PieceOutput& output, Filling& filling,
                    ByteSpan encoded, int64_t rows, SlabRecord& record);
  absl::Status Place(const PieceJob& job, const PieceOutput& output, ByteSpan encoded,
                     int64_t strip_first, int64_t row, int64_t rows, int64_t at,
                     std::byte* out) const;
  absl::Status TooLarge(const PieceJob& job, DType type, const PieceOutput& output, int64_t row,
                        int64_t col) const;
  absl::Status Seal(const PieceOutput& output, uint32_t chunk, Filling& filling,
                    SlabRecord& record);

  const ModelSource& source_;
  const Plan& plan_;
  const std::vector<PieceJob>& jobs_;
  ColumnFactors& factors_;
  ChunkSink& sink_;
  const std::function<bool()> stopped_;
  Bytes raw_;
  Bytes among_;  // rows as the tensor has them, where others stand between those of the piece
  std::vector<float> strip_;
  std::vector<float> moved_;  // a strip of a norm, for files that leave out something else
  Bytes encoded_;
  Rounder rounder_;
  ColumnFactors::Lease factor_;  // of the slab's piece, or none
  uint64_t values_encoded_ = 0;
  std::vector<Filling> fillings_;
};

// The element size that Store gets for a place: byte planes pay for floats.
int ElementBytes(const PlacedPiece& placed);

}  // namespace quantfleet::pipeline
