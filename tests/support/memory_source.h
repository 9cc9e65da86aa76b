// A model in memory, for tests that need a source and no file. Reading is thread-safe; what makes
// it is not.
#pragma once

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/status.h"
#include "pipeline/family/family.h"
#include "pipeline/model/source.h"
#include "pipeline/tensor/codec.h"

namespace quantfleet::testing {

// A model made by hand: one tensor per piece unless the test says otherwise.
class MemorySource final : public pipeline::ModelSource {
 public:
  using DType = pipeline::DType;
  using Role = pipeline::Role;

  pipeline::ModelDescription model;
  std::vector<Bytes> data;  // by tensor
  std::function<absl::Status(size_t tensor)> on_read;
  std::function<void(size_t tensor, uint64_t offset, uint64_t size)> on_release;

  MemorySource() { model.family = pipeline::FindFamily("phi3"); }

  // Adds a tensor and a piece that is the whole of it; nothing to read.
  void Declare(Role role, DType dtype, int64_t rows, int64_t cols, int dims = 2) {
    AddPiece(role, rows, cols, dims, model.tensors.size(), 0);
    model.tensors.push_back({std::string(pipeline::Name(role)) + ".src", dtype, rows, cols, dims});
    data.emplace_back();
  }
  // The same with random weights.
  void Add(Role role, DType dtype, int64_t rows, int64_t cols, int dims = 2) {
    Declare(role, dtype, rows, cols, dims);
    std::vector<float> values(static_cast<size_t>(rows * cols));
    uint32_t state = static_cast<uint32_t>(model.tensors.size());
    for (float& v : values)
      v = static_cast<float>(static_cast<int32_t>(state = state * 1664525 + 1013904223)) * 5e-11f;
    data.back().resize(static_cast<size_t>(rows * pipeline::RowBytes(dtype, cols)));
    pipeline::FindCodec(dtype)->encode(values.data(), rows, cols, nullptr, data.back().data());
  }
  void AddPiece(Role role, int64_t rows, int64_t cols, int dims, size_t tensor, int64_t first_row) {
    model.pieces.push_back({.role = role,
                            .layer = 0,
                            .rows = rows,
                            .cols = cols,
                            .dims = dims,
                            .tensor = tensor,
                            .first_row = first_row,
                            .order = pipeline::RowOrder::kHf});
  }

  const pipeline::ModelDescription& description() const override { return model; }
  absl::Status Read(size_t tensor, uint64_t offset, MutableBytes out) const override {
    if (on_read) QF_RETURN_IF_ERROR(on_read(tensor));
    if (offset + out.size() > data[tensor].size()) return OutOfRange("beyond the tensor");
    std::ranges::copy(ByteSpan(data[tensor]).subspan(offset, out.size()), out.begin());
    return absl::OkStatus();
  }
  void Release(size_t tensor, uint64_t offset, uint64_t size) const override {
    if (on_release) on_release(tensor, offset, size);
  }
  const std::vector<pipeline::Attachment>& attachments() const override { return attachments_; }
  const pipeline::SourceFingerprint& fingerprint() const override { return fingerprint_; }
  std::string_view format() const override { return "memory"; }

 private:
  std::vector<pipeline::Attachment> attachments_;
  pipeline::SourceFingerprint fingerprint_{"memory"};
};

}  // namespace quantfleet::testing
