#include "pipeline/format/registry/float_source.h"

#include <algorithm>
#include <cstring>

#include "pipeline/tensor/codec.h"

namespace quantfleet::pipeline {
namespace {

constexpr DType kDecoded = DType::kQ8_0;
// Blocks that are read at once: 68 KiB of Q8_0, 256 KiB of F32.
constexpr uint64_t kBlocksAtOnce = 2048;

uint64_t BlockBytes() { return static_cast<uint64_t>(Info(kDecoded).block_bytes); }
uint64_t FloatBytes() {
  return static_cast<uint64_t>(Info(kDecoded).block_elements) * sizeof(float);
}

}  // namespace

std::unique_ptr<ModelSource> FloatSource::Over(std::unique_ptr<ModelSource> source) {
  const bool any = std::ranges::any_of(source->description().tensors,
                                       [](const SourceTensor& t) { return t.dtype == kDecoded; });
  return any ? std::unique_ptr<ModelSource>(new FloatSource(std::move(source))) : std::move(source);
}

FloatSource::FloatSource(std::unique_ptr<ModelSource> inner)
    : inner_(std::move(inner)), description_(inner_->description()) {
  for (SourceTensor& tensor : description_.tensors)
    if (tensor.dtype == kDecoded) tensor.dtype = DType::kF32;
}

bool FloatSource::Decodes(size_t tensor) const {
  const std::vector<SourceTensor>& tensors = inner_->description().tensors;
  return tensor < tensors.size() && tensors[tensor].dtype == kDecoded;
}

absl::Status FloatSource::Read(size_t tensor, uint64_t offset, MutableBytes out) const {
  if (!Decodes(tensor)) return inner_->Read(tensor, offset, out);
  const SourceTensor& t = description_.tensors[tensor];
  const auto size = static_cast<uint64_t>(t.rows * RowBytes(DType::kF32, t.cols));
  if (offset > size || out.size() > size - offset)
    return OutOfRange("reading beyond the end of tensor {}", t.name);
  const Codec* codec = FindCodec(kDecoded);
  if (codec == nullptr)
    return Unimplemented("tensor '{}': this build cannot read {}", t.name, Info(kDecoded).name);

  const uint64_t end = offset + out.size();
  Bytes raw;
  std::vector<float> values;
  while (offset < end) {
    const uint64_t first = offset / FloatBytes();
    const uint64_t blocks = std::min(kBlocksAtOnce, (end - 1) / FloatBytes() + 1 - first);
    raw.resize(blocks * BlockBytes());
    values.resize(blocks * FloatBytes() / sizeof(float));
    QF_RETURN_IF_ERROR(inner_->Read(tensor, first * BlockBytes(), raw));
    codec->decode(raw.data(), static_cast<int64_t>(values.size()), values.data());
    const uint64_t skip = offset - first * FloatBytes();
    const uint64_t take = std::min(blocks * FloatBytes() - skip, end - offset);
    std::memcpy(out.data() + (out.size() - (end - offset)),
                AsText(std::as_bytes(std::span(values))).data() + skip, take);
    offset += take;
  }
  return absl::OkStatus();
}

void FloatSource::Release(size_t tensor, uint64_t offset, uint64_t size) const {
  if (!Decodes(tensor)) return inner_->Release(tensor, offset, size);
  // Whole blocks alone: a neighbour may still need the rest.
  const uint64_t first = (offset + FloatBytes() - 1) / FloatBytes(),
                 last = (offset + size) / FloatBytes();
  if (first < last) inner_->Release(tensor, first * BlockBytes(), (last - first) * BlockBytes());
}

}  // namespace quantfleet::pipeline
