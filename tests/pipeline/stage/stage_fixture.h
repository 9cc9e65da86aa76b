// A source that counts what is read, a sink that keeps files in memory, and what a plan's files
// must be by the plainest of means. For the tests of planning and executing.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <set>

#include "pipeline/artifact/manifest.h"
#include "pipeline/family/family.h"
#include "pipeline/stage/executor.h"
#include "pipeline/stage/plan_chunks.h"
#include "pipeline/tensor/codec.h"
#include "tests/support/memory_source.h"
#include "tests/support/status_matchers.h"

namespace quantfleet::pipeline {

using testing::MemorySource;

// As GGUF: the widest and the narrowest, with each width of block between.
inline constexpr const char* kRecipes[] = {"f32", "f16", "bf16", "q8_0", "q4_0"};

inline std::vector<TargetSpec> AllRecipes() {
  std::vector<TargetSpec> specs;
  for (const char* recipe : kRecipes) specs.push_back({"gguf", recipe});
  return specs;
}

// How many are inside at once, and how many were at most.
class Gauge {
 public:
  class Inside {
   public:
    explicit Inside(Gauge& gauge) : gauge_(gauge) {
      const int now = ++gauge_.now_;
      int seen = gauge_.most_;
      while (now > seen && !gauge_.most_.compare_exchange_weak(seen, now)) {
      }
    }
    ~Inside() { --gauge_.now_; }

   private:
    Gauge& gauge_;
  };
  int most() const { return most_; }

 private:
  std::atomic<int> now_{0}, most_{0};
};

// Wraps a source: counts every byte that is read, per tensor, and can fail.
class CountingSource final : public ModelSource {
 public:
  explicit CountingSource(const ModelSource& inner) : inner_(inner) {}
  const ModelDescription& description() const override { return inner_.description(); }
  absl::Status Read(size_t tensor, uint64_t offset, MutableBytes out) const override {
    const Gauge::Inside inside(gauge);
    if (on_read) QF_RETURN_IF_ERROR(on_read(tensor));
    {
      const std::lock_guard lock(mutex_);
      bytes_ += out.size();
      largest_ = std::max(largest_, out.size());
      ranges_[tensor].emplace_back(offset, out.size());
    }
    return inner_.Read(tensor, offset, out);
  }
  void Release(size_t tensor, uint64_t offset, uint64_t size) const override {
    inner_.Release(tensor, offset, size);
  }
  const std::vector<Attachment>& attachments() const override { return inner_.attachments(); }
  const SourceFingerprint& fingerprint() const override { return inner_.fingerprint(); }
  std::string_view format() const override { return inner_.format(); }

  uint64_t bytes() const { return bytes_; }
  size_t largest() const { return largest_; }
  // No byte of any tensor was read twice.
  bool ReadOnce() const {
    for (auto [tensor, ranges] : ranges_) {
      std::ranges::sort(ranges);
      for (size_t i = 1; i < ranges.size(); ++i)
        if (ranges[i - 1].first + ranges[i - 1].second > ranges[i].first) return false;
    }
    return true;
  }

  std::function<absl::Status(size_t tensor)> on_read;
  mutable Gauge gauge;

 private:
  const ModelSource& inner_;
  mutable std::mutex mutex_;
  mutable uint64_t bytes_ = 0;
  mutable size_t largest_ = 0;
  mutable std::map<size_t, std::vector<std::pair<uint64_t, uint64_t>>> ranges_;
};

// A target of one file: a header of `header` bytes, then every piece in one type, padded to 32
// bytes.
inline std::pair<TargetSpec, TargetLayout> SimpleTarget(const ModelDescription& model,
                                                        std::string recipe, DType dtype,
                                                        RowOrder order, size_t header = 100) {
  TargetLayout layout;
  uint64_t at = header;
  for (uint32_t i = 0; i < model.pieces.size(); ++i) {
    const Piece& piece = model.pieces[i];
    const DType type = piece.dims == 1 ? DType::kF32 : dtype;
    const bool rotated =
        piece.role == Role::kAttnQ || piece.role == Role::kAttnK || piece.role == Role::kAttnQBias;
    const uint64_t bytes = static_cast<uint64_t>(piece.rows * RowBytes(type, piece.cols));
    const uint64_t end = RoundUp(at + bytes, 32);
    layout.pieces.push_back({i, 0, at, type, rotated ? order : RowOrder::kHf,
                             static_cast<uint32_t>(end - at - bytes),
                             std::string(Name(piece.role))});
    at = end;
  }
  layout.files.push_back({"model.bin", at, {{0, std::string(header, 'h')}}});
  layout.memory.set_weights_bytes(at);
  return {TargetSpec{"simple", std::move(recipe)}, std::move(layout)};
}

// Keeps the files as they would be, checks every chunk's digest, counts.
class MemorySink final : public ChunkSink {
 public:
  explicit MemorySink(const Plan& plan) {
    for (const TargetPlan& target : plan.targets) {
      files_.emplace_back();
      for (const OutputFile& file : target.layout.files)
        files_.back().emplace_back(file.size, std::byte{0xEE});
    }
  }
  absl::Status Store(size_t target, const PlannedChunk& chunk, const Digest& digest, ByteSpan plain,
                     int) override {
    const Gauge::Inside inside(gauge);
    if (on_store) QF_RETURN_IF_ERROR(on_store(target, chunk));
    if (HashBytes(plain) != digest || plain.size() != chunk.size)
      return Internal("digest or size is wrong");
    const std::lock_guard lock(mutex_);
    ++stores_;
    std::ranges::copy(plain,
                      files_[target][chunk.file].begin() + static_cast<ptrdiff_t>(chunk.offset));
    return absl::OkStatus();
  }
  uint64_t scratch_bytes() const override { return 0; }
  const Bytes& File(size_t target, size_t file) const { return files_[target][file]; }
  size_t stores() const { return stores_; }

  std::function<absl::Status(size_t target, const PlannedChunk&)> on_store;
  Gauge gauge;

 private:
  std::mutex mutex_;
  size_t stores_ = 0;
  std::vector<std::vector<Bytes>> files_;
};

class MemoryJournal final : public SlabJournal {
 public:
  absl::Status Record(size_t slab, const SlabRecord& record) override {
    const std::lock_guard lock(mutex_);
    records[slab] = record;
    return absl::OkStatus();
  }
  const SlabRecord* Find(size_t slab) const override {
    const std::lock_guard lock(mutex_);
    const auto it = records.find(slab);
    return it == records.end() ? nullptr : &it->second;
  }
  std::map<size_t, SlabRecord> records;

 private:
  mutable std::mutex mutex_;
};

// llama.cpp's converter permutes with reshape(heads, 2, d/2, cols).swapaxes(1, 2); this does so,
// row by row.
inline std::vector<float> Interleave(const std::vector<float>& values, int64_t rows, int64_t cols,
                                     int64_t d) {
  std::vector<float> out;
  for (int64_t head = 0; head < rows / d; ++head)
    for (int64_t i = 0; i < d / 2; ++i)
      for (int64_t h = 0; h < 2; ++h) {
        const auto from = values.begin() + (head * d + h * (d / 2) + i) * cols;
        out.insert(out.end(), from, from + cols);
      }
  return out;
}
inline std::vector<float> Deinterleave(const std::vector<float>& values, int64_t rows, int64_t cols,
                                       int64_t d) {
  std::vector<float> out(values.size());
  for (int64_t head = 0; head < rows / d; ++head)
    for (int64_t i = 0; i < d / 2; ++i)
      for (int64_t h = 0; h < 2; ++h)
        std::copy_n(values.begin() + (head * d + 2 * i + h) * cols, cols,
                    out.begin() + (head * d + h * (d / 2) + i) * cols);
  return out;
}

// The whole file at once, with as much memory as it takes.
inline Bytes NaiveFile(const ModelSource& source, const TargetLayout& layout, uint32_t file,
                       const Importance& importance = {}) {
  const ModelDescription& model = source.description();
  Bytes out(layout.files[file].size);
  for (const FixedBytes& fixed : layout.files[file].fixed)
    std::ranges::copy(AsBytes(fixed.bytes), out.begin() + static_cast<ptrdiff_t>(fixed.offset));
  for (const PlacedPiece& placed : layout.pieces) {
    if (placed.file != file) continue;
    const Piece& piece = model.pieces[placed.piece];
    const SourceTensor& tensor = model.tensors[piece.tensor];
    const int64_t unit = piece.dims == 1 ? 1 : piece.cols, n = piece.rows * piece.cols;
    Bytes raw(static_cast<size_t>(RowBytes(tensor.dtype, n)));
    EXPECT_OK(source.Read(
        piece.tensor, static_cast<uint64_t>(RowBytes(tensor.dtype, piece.first_row * unit)), raw));
    std::vector<float> values(static_cast<size_t>(n));
    FindCodec(tensor.dtype)->decode(raw.data(), n, values.data());
    if (piece.lacks != placed.lacks)
      for (float& v : values) v += piece.lacks - placed.lacks;
    const int64_t rows = n / unit, d = model.hyper.head_dim;
    if (placed.order != piece.order)
      values = placed.order == RowOrder::kInterleaved ? Interleave(values, rows, unit, d)
                                                      : Deinterleave(values, rows, unit, d);
    FindCodec(placed.dtype)
        ->encode(values.data(), piece.rows, piece.cols, importance.Of(placed.piece),
                 out.data() + placed.offset);
  }
  return out;
}

}  // namespace quantfleet::pipeline
