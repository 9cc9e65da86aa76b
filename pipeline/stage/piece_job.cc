// The plan turned around: from targets and their chunks to pieces and where each goes.
#include <algorithm>

#include "pipeline/stage/geometry.h"
#include "pipeline/stage/plan_chunks.h"
#include "pipeline/stage/slab_worker.h"

namespace quantfleet::pipeline {
namespace {

// A strip of F32 values stays in a core's second-level cache beside its encoded forms.
constexpr int64_t kStripElements = 64 << 10;

constexpr int64_t kFeedbackRows = 128;

bool Rounds(const PieceJob& job) {
  return std::ranges::any_of(job.encodings,
                             [](const PieceEncoding& e) { return e.grid != nullptr; });
}

// Targets whose codes are chosen alike share an encoding, so that what makes no difference to this
// piece must not keep them apart.
PieceEncoding& EncodingFor(const Plan& plan, const TargetSpec& spec, const PlacedPiece& placed,
                           PieceJob& job) {
  const float added = job.piece->lacks - placed.lacks;
  const Importance* all = plan.ImportanceFor(spec);
  const float* importance = all == nullptr                        ? nullptr
                            : spec.rounding == Rounding::kNearest ? all->Of(placed.piece)
                                                                  : all->OrStandIn(placed.piece);
  const BlockGrid* grid =
      spec.rounding == Rounding::kNearest ? nullptr : RoundsTo(job, placed.dtype, added);
  const SecondMoments* moments = grid == nullptr ? nullptr : plan.MomentsFor(spec);
  const int64_t input = moments == nullptr ? -1 : moments->InputOf(placed.piece);
  if (input >= 0) job.input = input;
  if (importance == nullptr && input < 0) grid = nullptr;
  if (grid == nullptr && !Info(placed.dtype).weighs) importance = nullptr;
  const PieceEncoding encoding{.dtype = placed.dtype,
                               .added = added,
                               .codec = FindCodec(placed.dtype),
                               .row_bytes = RowBytes(placed.dtype, job.cols),
                               .importance = importance,
                               .grid = grid,
                               .feeds_back = input >= 0};
  auto it = std::ranges::find_if(job.encodings, [&](const PieceEncoding& other) {
    return other.dtype == encoding.dtype && other.added == encoding.added &&
           other.importance == encoding.importance && other.grid == encoding.grid &&
           other.feeds_back == encoding.feeds_back;
  });
  if (it == job.encodings.end()) it = job.encodings.insert(it, encoding);
  it->wants_feedback = it->wants_feedback || spec.rounding == Rounding::kFeedback;
  return *it;
}

// Chunks stand in the order of files and offsets, as placed pieces do: one walk matches them.
absl::Status AddOutputs(const Plan& plan, uint32_t index, std::vector<PieceJob>& jobs) {
  const TargetPlan& target = plan.targets[index];
  size_t chunk = 0;
  for (const PlacedPiece& placed : target.layout.pieces) {
    while (chunk < target.chunks.size() && target.chunks[chunk].piece < 0) ++chunk;
    PieceJob& job = jobs[placed.piece];
    const size_t first = chunk;
    int64_t rows = 0;
    while (chunk < target.chunks.size() && rows < job.rows &&
           target.chunks[chunk].piece == static_cast<int32_t>(placed.piece))
      rows += target.chunks[chunk++].rows;
    if (rows != job.rows)
      return Internal("the plan's chunks do not contain tensor '{}'", placed.tensor);
    EncodingFor(plan, target.spec, placed, job)
        .outputs.push_back({index, &placed, static_cast<uint32_t>(first), target.chunks[first].rows,
                            PartRowBits(placed.part, placed.dtype, job.cols)});
    ++job.outputs;
  }
  return absl::OkStatus();
}

}  // namespace

const BlockGrid* RoundsTo(const PieceJob& job, DType dtype, float added) {
  return Copies(job, dtype, added) ? nullptr : FindBlockGrid(dtype);
}

absl::StatusOr<std::vector<PieceJob>> JobsOf(const ModelDescription& model, const Plan& plan) {
  std::vector<PieceJob> jobs;
  for (uint32_t i = 0; i < model.pieces.size(); ++i) {
    const Piece& piece = model.pieces[i];
    const SourceTensor& tensor = model.tensors[piece.tensor];
    const PieceShape shape = ShapeOf(piece);
    PieceJob job{.piece = &piece,
                 .tensor = &tensor,
                 .decoder = FindCodec(tensor.dtype),
                 .rows = shape.rows,
                 .cols = shape.cols,
                 .source_row_bytes = RowBytes(tensor.dtype, shape.cols),
                 .head_rows = PermutedHeadRows(model, plan, i),
                 .block_rows = RowsPerBlock(tensor.dtype, shape),
                 .read_rows = 0,
                 .strip_rows = 0,
                 .fold = FactorsOf(plan.fold.get(), i),
                 .encodings = {}};
    job.read_rows = RowsPerRead(job.block_rows, job.head_rows);
    job.strip_rows =
        std::max(job.head_rows, kStripElements / job.cols / job.head_rows * job.head_rows);
    jobs.push_back(std::move(job));
  }
  for (uint32_t t = 0; t < plan.targets.size(); ++t) QF_RETURN_IF_ERROR(AddOutputs(plan, t, jobs));
  // The rounder's lanes are rows, and a factor goes through the cache once for each strip.
  for (PieceJob& job : jobs) {
    const int64_t least = job.input >= 0 ? kFeedbackRows : Rounds(job) ? kRowStep : 1;
    job.strip_rows =
        std::max(job.strip_rows, (least + job.head_rows - 1) / job.head_rows * job.head_rows);
  }
  return jobs;
}

uint64_t WorkerBuffers::total() const {
  uint64_t sum =
      read_bytes + among_bytes + strip_elements * sizeof(float) + encoded_bytes + rounding_bytes;
  for (const uint64_t bytes : chunk_bytes) sum += bytes;
  return sum;
}

namespace {

uint64_t LargestChunk(const Plan& plan, const PieceOutput& output) {
  const std::vector<PlannedChunk>& chunks = plan.targets[output.target].chunks;
  const PlannedChunk& first = chunks[output.first_chunk];
  uint64_t most = 0;
  for (size_t c = output.first_chunk;
       c < chunks.size() && chunks[c].piece == first.piece && chunks[c].file == first.file; ++c)
    most = std::max(most, uint64_t{chunks[c].size});
  return most;
}

}  // namespace

WorkerBuffers BuffersFor(const Plan& plan, const std::vector<PieceJob>& jobs) {
  WorkerBuffers buffers;
  for (const PieceJob& job : jobs) {
    const int64_t read = std::min(job.read_rows, job.rows),
                  strip = std::min(job.strip_rows, job.rows);
    buffers.read_bytes =
        std::max(buffers.read_bytes, static_cast<uint64_t>(read * job.source_row_bytes));
    if (job.piece->step > 1)
      buffers.among_bytes =
          std::max(buffers.among_bytes,
                   static_cast<uint64_t>(read * job.piece->step * job.source_row_bytes));
    buffers.strip_elements =
        std::max(buffers.strip_elements, static_cast<uint64_t>(strip * job.cols));
    if (buffers.chunk_bytes.size() < job.outputs) buffers.chunk_bytes.resize(job.outputs);
    size_t filling = 0;
    for (const PieceEncoding& encoding : job.encodings) {
      if (!Copies(job, encoding.dtype, encoding.added) && encoding.dtype != DType::kF32)
        buffers.encoded_bytes =
            std::max(buffers.encoded_bytes, static_cast<uint64_t>(strip * encoding.row_bytes));
      if (encoding.grid != nullptr)
        buffers.rounding_bytes =
            std::max(buffers.rounding_bytes, Rounder::Bytes(*encoding.grid, strip, job.cols));
      for (const PieceOutput& output : encoding.outputs) {
        uint64_t& bytes = buffers.chunk_bytes[filling++];
        bytes = std::max(bytes, LargestChunk(plan, output));
      }
    }
  }
  return buffers;
}

uint64_t FactorBytes(const std::vector<PieceJob>& jobs) {
  uint64_t most = 0;
  for (const PieceJob& job : jobs)
    if (job.input >= 0) most = std::max(most, ColumnFactor::Bytes(job.cols));
  return most;
}

int ElementBytes(const PlacedPiece& placed) {
  switch (placed.part) {
    case Part::kBlocks:
      break;
    case Part::kCodes:
    case Part::kSignedCodes:
    case Part::kZeroPoints:
    case Part::kPointStream:
      return 1;
    case Part::kScales:
    case Part::kBiases:
      return 2;
    case Part::kScales32:
      return 4;
  }
  return IsFloat(placed.dtype) ? static_cast<int>(Info(placed.dtype).block_bytes) : 1;
}

}  // namespace quantfleet::pipeline
