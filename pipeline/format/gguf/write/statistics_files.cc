#include "pipeline/format/gguf/write/statistics_files.h"

#include <algorithm>

#include "pipeline/format/gguf/write/gguf_writer.h"

namespace quantfleet::pipeline {
namespace {

void PadTo(std::string& data, uint64_t offset) { data.resize(offset, '\0'); }

}  // namespace

std::string ImportanceBytes(std::vector<ColumnStatistics> tensors, std::string_view source,
                            uint32_t chunks, uint32_t chunk_size) {
  std::ranges::sort(tensors, {}, &ColumnStatistics::tensor);
  GgufWriter writer;
  writer.AddText("general.type", "imatrix");
  writer.AddTexts("imatrix.datasets", std::vector{std::string(source)});
  writer.AddU32("imatrix.chunk_count", chunks);
  writer.AddU32("imatrix.chunk_size", chunk_size);
  std::string data;
  const auto add = [&](const std::string& name, std::span<const float> values, int64_t rows) {
    PadTo(data,
          writer.AddTensor(name, DType::kF32, rows, static_cast<int64_t>(values.size()) / rows, 2));
    data += AsText(std::as_bytes(values));
  };
  for (const ColumnStatistics& one : tensors) {
    const auto matrices = static_cast<int64_t>(one.counts.size());
    add(one.tensor + ".in_sum2", one.squares, matrices);
    add(one.tensor + ".counts", one.counts, matrices);
    add(one.tensor + ".in_sum", one.sums, matrices);
  }
  PadTo(data, writer.data_size());
  return writer.Header() + data;
}

SecondMomentsLayout::SecondMomentsLayout(std::span<const Input> inputs) {
  GgufWriter writer;
  writer.AddText("general.type", "second_moments");
  const auto of_matrix = [](const Input& input, const std::string& tensor, int64_t matrix) {
    return input.matrices == 1 ? tensor : fmt::format("{}.{}", tensor, matrix);
  };
  std::vector<std::string> shared;
  for (const Input& input : inputs)
    for (const std::string& other : input.others)
      for (int64_t matrix = 0; matrix < input.matrices; ++matrix)
        shared.push_back(fmt::format("{}={}", of_matrix(input, other, matrix),
                                     of_matrix(input, input.tensor, matrix)));
  writer.AddTexts("quantfleet.shared_inputs", shared);
  for (const Input& input : inputs) {
    std::vector<uint64_t>& offsets = offsets_[input.tensor];
    for (int64_t matrix = 0; matrix < input.matrices; ++matrix) {
      const std::string name = of_matrix(input, input.tensor, matrix) + ".in_xx";
      offsets.push_back(
          writer.AddTensor(name, DType::kF32, 1, input.cols * (input.cols + 1) / 2, 1));
    }
  }
  header_ = writer.Header();
  size_ = header_.size() + writer.data_size();
}

uint64_t SecondMomentsLayout::OffsetOf(std::string_view tensor, int64_t matrix) const {
  return header_.size() + offsets_.find(tensor)->second[static_cast<size_t>(matrix)];
}

}  // namespace quantfleet::pipeline
