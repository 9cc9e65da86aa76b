#include "pipeline/stage/row_sample.h"

#include <algorithm>

#include "pipeline/tensor/codec.h"

namespace quantfleet::pipeline {

std::vector<int64_t> SampledRows(int64_t rows, int64_t most) {
  const int64_t count = std::min(rows, std::max<int64_t>(most, 1));
  std::vector<int64_t> taken;
  // The middle of each of `count` equal parts.
  for (int64_t i = 0; i < count; ++i) taken.push_back((2 * i + 1) * rows / (2 * count));
  return taken;
}

absl::StatusOr<RowSample> SampleRows(const ModelSource& source, size_t piece, int64_t most) {
  const ModelDescription& model = source.description();
  const Piece& from = model.pieces[piece];
  const SourceTensor& tensor = model.tensors[from.tensor];
  if (from.dims < 2) return Internal("tensor '{}' has no rows to take a sample of", tensor.name);
  const Codec* codec = FindCodec(tensor.dtype);
  if (codec == nullptr)
    return Unimplemented("tensor '{}': this build cannot read {}", tensor.name,
                         Info(tensor.dtype).name);
  RowSample sample{.of = from.rows, .cols = from.cols, .values = {}};
  const std::vector<int64_t> rows = SampledRows(from.rows, most);
  sample.rows = static_cast<int64_t>(rows.size());
  sample.values.resize(static_cast<size_t>(sample.rows * sample.cols));
  const auto row_bytes = static_cast<uint64_t>(RowBytes(tensor.dtype, from.cols));
  Bytes raw(row_bytes);
  float* out = sample.values.data();
  for (const int64_t row : rows) {
    const uint64_t offset = static_cast<uint64_t>(from.first_row + row * from.step) * row_bytes;
    QF_RETURN_IF_ERROR(
        Annotate(source.Read(from.tensor, offset, raw), fmt::format("tensor '{}'", tensor.name)));
    codec->decode(raw.data(), from.cols, out);
    if (const int64_t bad = FindNonFinite(out, from.cols); bad >= 0)
      return InvalidArgument(
          "tensor '{}' contains {} at row {}, column {}: the file is damaged or its training "
          "diverged; download the model again or use another one",
          tensor.name, out[bad], from.first_row + row * from.step, bad);
    out += from.cols;
  }
  for (float& value : sample.values) value += from.lacks;
  return sample;
}

}  // namespace quantfleet::pipeline
