#include "pipeline/format/registry/float_source.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "pipeline/tensor/codec.h"
#include "tests/support/memory_source.h"
#include "tests/support/status_matchers.h"

namespace quantfleet::pipeline {
namespace {

using testing::MemorySource;

// One F16 tensor and one of Q8_0.
std::unique_ptr<MemorySource> TwoTensors() {
  auto source = std::make_unique<MemorySource>();
  source->Add(Role::kAttnNorm, DType::kF16, 2, 3);
  source->Add(Role::kFfnDown, DType::kQ8_0, 70, 1024);
  return source;
}

TEST(FloatSource, DecodesAnyRange) {
  auto owned = TwoTensors();
  const MemorySource& inner = *owned;
  std::vector<float> values(70 * 1024);
  FindCodec(DType::kQ8_0)->decode(inner.data[1].data(), std::ssize(values), values.data());
  const auto source = FloatSource::Over(std::move(owned));
  EXPECT_EQ(source->description().tensors[0].dtype, DType::kF16);
  EXPECT_EQ(source->description().tensors[1].dtype, DType::kF32);
  EXPECT_EQ(source->format(), inner.format());
  EXPECT_EQ(source->fingerprint().text, inner.fingerprint().text);
  const ByteSpan whole = std::as_bytes(std::span(values));
  // Whole; across several reads; within one block; at odd bytes; nothing.
  for (const auto& [offset, size] : {std::pair<size_t, size_t>(0, whole.size()),
                                     {128, 128},
                                     {4096, 4096},
                                     {5, 3},
                                     {127, 2},
                                     {1000, 270001},
                                     {whole.size() - 1, 1},
                                     {64, 0}}) {
    Bytes out(size);
    ASSERT_OK(source->Read(1, offset, out));
    EXPECT_TRUE(std::ranges::equal(out, whole.subspan(offset, size))) << offset << " " << size;
  }
  Bytes plain(4), beyond(5);
  ASSERT_OK(source->Read(0, 8, plain));
  EXPECT_TRUE(std::ranges::equal(plain, ByteSpan(inner.data[0]).subspan(8, 4)));
  EXPECT_ERROR(source->Read(1, whole.size() - 4, beyond), kOutOfRange, inner.model.tensors[1].name);
}

TEST(FloatSource, ReleasesWholeBlocks) {
  auto owned = TwoTensors();
  MemorySource& inner = *owned;
  std::vector<uint64_t> released;
  inner.on_release = [&](size_t tensor, uint64_t offset, uint64_t size) {
    released = {tensor, offset, size};
  };
  const auto source = FloatSource::Over(std::move(owned));
  source->Release(1, 128, 256);
  EXPECT_EQ(released, (std::vector<uint64_t>{1, 34, 68}));
  source->Release(1, 130, 256);
  EXPECT_EQ(released, (std::vector<uint64_t>{1, 68, 34}));
  source->Release(0, 2, 4);
  EXPECT_EQ(released, (std::vector<uint64_t>{0, 2, 4}));
  inner.on_read = [](size_t) { return DataLoss("gone"); };
  Bytes out(8);
  EXPECT_ERROR(source->Read(1, 0, out), kDataLoss, "gone");
}

}  // namespace
}  // namespace quantfleet::pipeline
