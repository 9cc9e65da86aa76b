#include "pipeline/stage/slab_worker.h"

#include <algorithm>
#include <cstring>

#include "common/base/fail_point.h"
#include "pipeline/stage/geometry.h"
#include "pipeline/stage/overflow.h"
#include "pipeline/stage/row_encoder.h"

namespace quantfleet::pipeline {
namespace {

// "row 3, column 7" of the source tensor, for an element of a piece.
std::string PlaceName(const PieceJob& job, int64_t row, int64_t col) {
  const int64_t at = job.piece->first_row + row * job.piece->step;
  return job.piece->dims == 1 ? fmt::format("element {}", at)
                              : fmt::format("row {}, column {}", at, col);
}

}  // namespace

SlabWorker::SlabWorker(const ModelSource& source, const Plan& plan,
                       const std::vector<PieceJob>& jobs, const WorkerBuffers& buffers,
                       ColumnFactors& factors, ChunkSink& sink, std::function<bool()> stopped)
    : source_(source),
      plan_(plan),
      jobs_(jobs),
      factors_(factors),
      sink_(sink),
      stopped_(std::move(stopped)),
      raw_(buffers.read_bytes),
      among_(buffers.among_bytes),
      strip_(buffers.strip_elements),
      encoded_(buffers.encoded_bytes),
      fillings_(buffers.chunk_bytes.size()) {
  for (size_t i = 0; i < fillings_.size(); ++i) fillings_[i].buffer.resize(buffers.chunk_bytes[i]);
}

absl::StatusOr<SlabRecord> SlabWorker::Process(const Slab& slab) {
  const PieceJob& job = jobs_[slab.piece];
  SlabRecord record;
  factor_ = {};
  if (job.input >= 0) {
    QF_ASSIGN_OR_RETURN(factor_, factors_.Take(job.input, job.cols));
  }
  for (size_t i = 0; i < job.outputs; ++i) fillings_[i].next_row = slab.first_row;
  const int64_t end = slab.first_row + slab.rows;
  for (int64_t row = slab.first_row; row < end; row += job.read_rows) {
    if (stopped_()) return Cancelled("stopped");
    const int64_t rows = std::min(job.read_rows, end - row);
    QF_RETURN_IF_ERROR(ReadRows(job, row, rows, record));
    for (int64_t first = 0; first < rows; first += job.strip_rows) {
      const int64_t count = std::min(job.strip_rows, rows - first);
      const ByteSpan raw =
          ByteSpan(raw_).subspan(static_cast<size_t>(first * job.source_row_bytes),
                                 static_cast<size_t>(count * job.source_row_bytes));
      QF_RETURN_IF_ERROR(DecodeStrip(job, raw, row + first, count));
      size_t filling = 0;
      for (const PieceEncoding& encoding : job.encodings) {
        QF_ASSIGN_OR_RETURN(const ByteSpan encoded,
                            EncodeStrip(job, encoding, raw, row + first, count));
        for (const PieceOutput& output : encoding.outputs)
          QF_RETURN_IF_ERROR(Feed(job, output, fillings_[filling++], encoded, count, record));
      }
    }
  }
  factor_ = {};
  return record;
}

absl::Status SlabWorker::ReadRows(const PieceJob& job, int64_t row, int64_t rows,
                                  SlabRecord& record) {
  const int64_t step = job.piece->step;
  const auto row_bytes = static_cast<size_t>(job.source_row_bytes);
  const uint64_t offset = static_cast<uint64_t>(job.piece->first_row + row * step) * row_bytes;
  const MutableBytes out = MutableBytes(raw_).first(static_cast<size_t>(rows) * row_bytes);
  const MutableBytes read =
      step == 1
          ? out
          : MutableBytes(among_).first(static_cast<size_t>((rows - 1) * step + 1) * row_bytes);
  QF_RETURN_IF_ERROR(Annotate(source_.Read(job.piece->tensor, offset, read),
                              fmt::format("tensor '{}'", job.tensor->name)));
  if (step == 1) {
    source_.Release(job.piece->tensor, offset, out.size());
  } else {
    // The rows between them are read for another piece: they may stay.
    for (size_t r = 0; r < static_cast<size_t>(rows); ++r)
      std::memcpy(out.data() + r * row_bytes,
                  read.data() + r * static_cast<size_t>(step) * row_bytes, row_bytes);
  }
  const size_t block = static_cast<size_t>(job.block_rows * job.source_row_bytes);
  for (size_t at = 0; at < out.size(); at += block)
    record.source_blocks.push_back(HashBytes(out.subspan(at, std::min(block, out.size() - at))));
  return absl::OkStatus();
}

absl::Status SlabWorker::DecodeStrip(const PieceJob& job, ByteSpan raw, int64_t row, int64_t rows) {
  const int64_t n = rows * job.cols;
  job.decoder->decode(raw.data(), n, strip_.data());
  if (job.fold) ApplyFold(job.fold, job.piece->lacks, row, rows, job.cols, strip_.data());
  if (const int64_t bad = FindNonFinite(strip_.data(), n); bad >= 0) {
    const std::string file = source_.FileOf(job.piece->tensor);
    return InvalidArgument(
        "{}{}tensor '{}' contains {} at {}: the file is damaged or its training diverged; download "
        "the model again or use another one",
        file, file.empty() ? "" : ": ", job.tensor->name, strip_[static_cast<size_t>(bad)],
        PlaceName(job, row + bad / job.cols, bad % job.cols));
  }
  return absl::OkStatus();
}

// The strip in the encoding's type, in the source's order. Rows are encoded each for itself, so
// that any order of them has the same bytes.
absl::StatusOr<ByteSpan> SlabWorker::EncodeStrip(const PieceJob& job, const PieceEncoding& encoding,
                                                 ByteSpan raw, int64_t row, int64_t rows) {
  const std::vector<float>* values = &strip_;
  if (encoding.added != 0) {
    moved_.assign(strip_.begin(), strip_.begin() + rows * job.cols);
    for (float& value : moved_) value += encoding.added;
    values = &moved_;
  } else if (Copies(job, encoding.dtype, encoding.added)) {
    return raw;
  }
  if (encoding.dtype == DType::kF32)
    return std::as_bytes(std::span(*values)).first(static_cast<size_t>(rows * encoding.row_bytes));
  Encode(job, encoding, values->data(), rows);
  values_encoded_ += static_cast<uint64_t>(rows * job.cols);
  const ByteSpan encoded = ByteSpan(encoded_).first(static_cast<size_t>(rows * encoding.row_bytes));
  const int64_t bad = FindHalfOverflow(encoding.dtype, job.cols, encoded);
  if (bad < 0) return encoded;
  return TooLarge(job, encoding.dtype, encoding.outputs.front(), row + bad / job.cols,
                  bad % job.cols);
}

void SlabWorker::Encode(const PieceJob& job, const PieceEncoding& encoding, const float* values,
                        int64_t rows) {
  const RowEncoder encoder{encoding.codec, encoding.grid, encoding.importance,
                           encoding.feeds_back ? factor_.factor() : nullptr};
  encoder.Encode(rounder_, values, rows, job.cols, encoded_.data());
}

absl::Status SlabWorker::TooLarge(const PieceJob& job, DType type, const PieceOutput& output,
                                  int64_t row, int64_t col) const {
  const TargetSpec& spec = plan_.targets[output.target].spec;
  return InvalidArgument(
      "tensor '{}' contains a value too large for {} ({} or close to it) in target {}: {}",
      job.tensor->name, Info(type).name, PlaceName(job, row, col), spec.name(),
      WiderThanHalf(spec, *job.piece));
}

// The strip's rows begin at filling.next_row: slabs, reads and strips all follow one another
// without gaps.
absl::Status SlabWorker::Feed(const PieceJob& job, const PieceOutput& output, Filling& filling,
                              ByteSpan encoded, int64_t rows, SlabRecord& record) {
  const int64_t strip_first = filling.next_row, end = strip_first + rows;
  while (filling.next_row < end) {
    const auto index =
        static_cast<uint32_t>(output.first_chunk + filling.next_row / output.chunk_rows);
    const PlannedChunk& chunk = plan_.targets[output.target].chunks[index];
    const int64_t chunk_end = chunk.first_row + chunk.rows;
    const int64_t take = std::min(chunk_end, end) - filling.next_row;
    QF_RETURN_IF_ERROR(Place(job, output, encoded, strip_first, filling.next_row, take,
                             filling.next_row - chunk.first_row, filling.buffer.data()));
    filling.next_row += take;
    if (filling.next_row == chunk_end) QF_RETURN_IF_ERROR(Seal(output, index, filling, record));
  }
  return absl::OkStatus();
}

// Rows [row, row + rows) of the target, taken from the encoded strip that begins at row strip_first
// of the piece, become row `at` and following of the chunk `out`.
absl::Status SlabWorker::Place(const PieceJob& job, const PieceOutput& output, ByteSpan encoded,
                               int64_t strip_first, int64_t row, int64_t rows, int64_t at,
                               std::byte* out) const {
  const PlacedPiece& placed = *output.placed;
  const int64_t encoded_row = RowBytes(placed.dtype, job.cols);
  // `count` rows from row `from` of the strip on, contiguous in both.
  const auto take = [&](int64_t from, int64_t count, int64_t to) -> absl::Status {
    TakePart(placed.part, placed.dtype, encoded.data() + from * encoded_row, count, job.cols, out,
             to);
    // Scales in F16 are multiplied in F16; with F32 scales nothing is lost.
    if (placed.part == Part::kScales) {
      const int64_t bad =
          FindProductOverflow(placed.dtype, job.cols,
                              encoded.subspan(static_cast<size_t>(from * encoded_row),
                                              static_cast<size_t>(count * encoded_row)));
      if (bad < 0) return absl::OkStatus();
      return TooLarge(job, placed.dtype, output, strip_first + from + bad / job.cols,
                      bad % job.cols);
    }
    if (placed.part != Part::kBiases) return absl::OkStatus();
    // Eight or 128 times a scale may be too large where the scale is not.
    const int64_t row_bytes = output.row_bits / 8;
    const int64_t bad = FindHalfOverflow(
        DType::kF16, 1, {out + to * row_bytes, static_cast<size_t>(count * row_bytes)});
    if (bad < 0) return absl::OkStatus();
    const int64_t element = bad * Info(placed.dtype).block_elements;
    return TooLarge(job, placed.dtype, output, strip_first + from + element / job.cols,
                    element % job.cols);
  };
  if (placed.order == job.piece->order) return take(row - strip_first, rows, at);
  for (int64_t r = row; r < row + rows; ++r, ++at) {
    const int64_t head = r / job.head_rows * job.head_rows;
    const int64_t from = head + SourceRow(job.piece->order, placed.order, job.head_rows, r - head);
    QF_RETURN_IF_ERROR(take(from - strip_first, 1, at));
  }
  return absl::OkStatus();
}

absl::Status SlabWorker::Seal(const PieceOutput& output, uint32_t index, Filling& filling,
                              SlabRecord& record) {
  const PlannedChunk& chunk = plan_.targets[output.target].chunks[index];
  const auto rows_bytes = static_cast<size_t>((chunk.rows * output.row_bits + 7) / 8);
  const MutableBytes plain = MutableBytes(filling.buffer).first(chunk.size);
  std::ranges::fill(plain.subspan(rows_bytes), std::byte{0});
  const Digest digest = HashBytes(plain);
  FailPoint("slab-before-store");
  QF_RETURN_IF_ERROR(
      Annotate(sink_.Store(output.target, chunk, digest, plain, ElementBytes(*output.placed)),
               fmt::format("tensor '{}'", output.placed->tensor)));
  FailPoint("slab-after-store");
  record.chunks.push_back({output.target, index, digest});
  return absl::OkStatus();
}

}  // namespace quantfleet::pipeline
