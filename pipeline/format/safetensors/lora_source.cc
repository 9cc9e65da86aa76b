#include "pipeline/format/safetensors/lora_source.h"

#include <algorithm>

#include "pipeline/family/family.h"
#include "pipeline/model/whole_rows.h"
#include "pipeline/tensor/codec.h"

namespace quantfleet::pipeline {
namespace {

constexpr int64_t kValuesAtOnce = 1 << 20;

}  // namespace

absl::StatusOr<std::unique_ptr<ModelSource>> LoraSource::Merge(
    FileSystem& files, std::unique_ptr<ModelSource> base, std::string_view name,
    const std::vector<LoraChoice>& choices) {
  if (choices.empty()) return base;
  if (base->format() != "safetensors")
    return InvalidArgument(
        "adapters can be merged only into a Hugging Face folder, and {} is a {} file: pass the "
        "folder of the model that they were trained on",
        name, base->format());
  std::unique_ptr<LoraSource> source(new LoraSource);
  source->base_ = std::move(base);
  source->description_ = source->base_->description();
  source->deltas_.resize(source->description_.tensors.size());
  source->fingerprint_ = source->base_->fingerprint();
  for (const LoraChoice& choice : choices) {
    QF_ASSIGN_OR_RETURN(LoraAdapter adapter, LoraAdapter::Open(files, choice.folder, choice.times));
    source->adapters_.push_back(std::move(adapter));
  }
  for (const LoraAdapter& adapter : source->adapters_) {
    QF_RETURN_IF_ERROR(source->Take(adapter, name));
    source->fingerprint_.text += " " + adapter.fingerprint();
  }
  return source;
}

absl::Status LoraSource::Take(const LoraAdapter& adapter, std::string_view model) {
  const std::string base = adapter.base().empty() ? "" : fmt::format(" ({})", adapter.base());
  for (const LoraDelta& delta : adapter.deltas()) {
    const std::string name = delta.module + ".weight";
    const auto found = std::ranges::find(description_.tensors, name, &SourceTensor::name);
    if (found == description_.tensors.end())
      return InvalidArgument(
          "{}: '{}' is for tensor '{}', which {} does not have: use the model that the adapter was "
          "trained on{}",
          adapter.file(), delta.name, name, model, base);
    SourceTensor& tensor = *found;
    if (tensor.dims != 2 || tensor.rows != delta.rows || tensor.cols != delta.cols)
      return InvalidArgument(
          "{}: '{}' is for a weight of {} x {}, but tensor '{}' of {} is {} x {}: use the model "
          "that "
          "the adapter was trained on{}",
          adapter.file(), delta.name, delta.rows, delta.cols, name, model, tensor.rows, tensor.cols,
          base);
    const Family& family = *description_.family;
    if (description_.hyper.tied_embeddings &&
        name == TensorName(family, Dialect::kHf, Role::kTokenEmbedding))
      return Unimplemented(
          "{}: '{}' changes the embedding, which is the model's output head too: merge the adapter "
          "with peft's merge_and_unload() and use the model that this makes",
          adapter.file(), delta.name);
    if (IsQuantized(tensor) && tensor.packed.empty()) tensor.packed = Info(tensor.dtype).name;
    tensor.dtype = DType::kF32;
    deltas_[static_cast<size_t>(found - description_.tensors.begin())].push_back(&delta);
    // Raw rows, their values, and what is read of the adapter, as it lies there and as floats.
    const int64_t rows = std::max<int64_t>(kValuesAtOnce / delta.cols, 1);
    scratch_bytes_ =
        std::max(scratch_bytes_, static_cast<uint64_t>(8 * (rows * delta.cols + delta.cols +
                                                            delta.rank * (delta.cols + rows))));
  }
  return absl::OkStatus();
}

absl::Status LoraSource::Read(size_t tensor, uint64_t offset, MutableBytes out) const {
  if (tensor >= deltas_.size() || deltas_[tensor].empty()) return base_->Read(tensor, offset, out);
  const SourceTensor& as = description_.tensors[tensor];
  const auto row_bytes = static_cast<uint64_t>(RowBytes(DType::kF32, as.cols)),
             size = static_cast<uint64_t>(as.rows) * row_bytes;
  if (offset > size || out.size() > size - offset)
    return OutOfRange("reading beyond the end of tensor {}", as.name);
  std::vector<float> values;
  const auto make = [&](int64_t first, int64_t count) -> absl::StatusOr<ByteSpan> {
    QF_RETURN_IF_ERROR(MergeRows(tensor, first, count, values));
    return std::as_bytes(std::span(values));
  };
  return CopyFromWholeRows(row_bytes, kValuesAtOnce / as.cols, offset, out, make);
}

absl::Status LoraSource::MergeRows(size_t tensor, int64_t first, int64_t count,
                                   std::vector<float>& values) const {
  const SourceTensor& stored = base_->description().tensors[tensor];
  const int64_t cols = stored.cols;
  const auto n = static_cast<size_t>(count * cols);
  Bytes raw(static_cast<size_t>(count * RowBytes(stored.dtype, cols)));
  QF_RETURN_IF_ERROR(
      base_->Read(tensor, static_cast<uint64_t>(first * RowBytes(stored.dtype, cols)), raw));
  values.resize(n);
  FindCodec(stored.dtype)->decode(raw.data(), static_cast<int64_t>(n), values.data());
  const std::vector<const LoraDelta*>& deltas = deltas_[tensor];
  std::vector<std::vector<float>> left(deltas.size()), right(deltas.size());
  for (size_t d = 0; d < deltas.size(); ++d) {
    QF_RETURN_IF_ERROR(deltas[d]->ReadLeft(first, count, left[d]));
    QF_RETURN_IF_ERROR(deltas[d]->ReadRight(right[d]));
  }
  std::vector<double> sum(static_cast<size_t>(cols)), product(static_cast<size_t>(cols));
  for (int64_t row = 0; row < count; ++row) {
    float* const w = values.data() + row * cols;
    std::copy_n(w, cols, sum.begin());
    for (size_t d = 0; d < deltas.size(); ++d) {
      const int64_t rank = deltas[d]->rank;
      std::ranges::fill(product, 0);
      for (int64_t r = 0; r < rank; ++r) {
        // Products of two floats are exact in double, so that fusing changes nothing.
        const double b = left[d][static_cast<size_t>(row * rank + r)];
        const float* const a = right[d].data() + r * cols;
        for (int64_t c = 0; c < cols; ++c) product[static_cast<size_t>(c)] += b * double{a[c]};
      }
      for (size_t c = 0; c < product.size(); ++c) sum[c] += deltas[d]->scale * product[c];
    }
    for (int64_t c = 0; c < cols; ++c) w[c] = static_cast<float>(sum[static_cast<size_t>(c)]);
  }
  return absl::OkStatus();
}

void LoraSource::Release(size_t tensor, uint64_t offset, uint64_t size) const {
  if (tensor >= deltas_.size() || deltas_[tensor].empty())
    return base_->Release(tensor, offset, size);
  // The base's rows of the same numbers.
  const SourceTensor& stored = base_->description().tensors[tensor];
  const auto as = static_cast<uint64_t>(RowBytes(DType::kF32, stored.cols)),
             own = static_cast<uint64_t>(RowBytes(stored.dtype, stored.cols));
  base_->Release(tensor, offset / as * own, size / as * own);
}

}  // namespace quantfleet::pipeline
