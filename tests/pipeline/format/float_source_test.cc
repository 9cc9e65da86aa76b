#include "pipeline/format/registry/float_source.h"

#include <gtest/gtest.h>

#include <cstring>

#include "pipeline/tensor/codec.h"
#include "tests/support/status_matchers.h"

namespace quantfleet::pipeline {
namespace {

// One F16 tensor and one of Q8_0, in memory; remembers what is released.
class MemorySource final : public ModelSource {
 public:
  static constexpr int64_t kRows = 70, kCols = 1024;

  MemorySource() {
    description_.tensors = {{"plain", DType::kF16, 2, 3, 2},
                            {"coded", DType::kQ8_0, kRows, kCols, 2}};
    bytes_ = {Bytes(12, std::byte{7}),
              Bytes(static_cast<size_t>(kRows * RowBytes(DType::kQ8_0, kCols)))};
    values.resize(static_cast<size_t>(kRows * kCols));
    for (size_t i = 0; i < values.size(); ++i)
      values[i] = static_cast<float>(static_cast<int>(i * 37 % 1001) - 500);
    const Codec* codec = FindCodec(DType::kQ8_0);
    codec->encode(values.data(), kRows, kCols, nullptr, bytes_[1].data());
    codec->decode(bytes_[1].data(), kRows * kCols, values.data());
  }
  const ModelDescription& description() const override { return description_; }
  absl::Status Read(size_t tensor, uint64_t offset, MutableBytes out) const override {
    if (fail) return DataLoss("the disk is gone");
    std::memcpy(out.data(), bytes_[tensor].data() + offset, out.size());
    return absl::OkStatus();
  }
  void Release(size_t tensor, uint64_t offset, uint64_t size) const override {
    released = {tensor, offset, size};
  }
  const std::vector<Attachment>& attachments() const override { return attachments_; }
  const SourceFingerprint& fingerprint() const override { return fingerprint_; }
  std::string_view format() const override { return "gguf"; }

  std::vector<float> values;  // of "coded", decoded
  mutable std::vector<uint64_t> released;
  bool fail = false;

 private:
  ModelDescription description_;
  std::vector<Bytes> bytes_;
  std::vector<Attachment> attachments_;
  SourceFingerprint fingerprint_{"f"};
};

TEST(FloatSource, DecodesAnyRange) {
  auto owned = std::make_unique<MemorySource>();
  const MemorySource& inner = *owned;
  const auto source = FloatSource::Over(std::move(owned));
  EXPECT_EQ(source->description().tensors[0].dtype, DType::kF16);
  EXPECT_EQ(source->description().tensors[1].dtype, DType::kF32);
  EXPECT_EQ(source->format(), "gguf");
  EXPECT_EQ(source->fingerprint().text, "f");
  const ByteSpan whole = std::as_bytes(std::span(inner.values));
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
  EXPECT_EQ(plain, Bytes(4, std::byte{7}));
  EXPECT_ERROR(source->Read(1, whole.size() - 4, beyond), kOutOfRange, "coded");
}

TEST(FloatSource, ReleasesWholeBlocks) {
  auto owned = std::make_unique<MemorySource>();
  MemorySource& inner = *owned;
  const auto source = FloatSource::Over(std::move(owned));
  source->Release(1, 128, 256);
  EXPECT_EQ(inner.released, (std::vector<uint64_t>{1, 34, 68}));
  source->Release(1, 130, 256);
  EXPECT_EQ(inner.released, (std::vector<uint64_t>{1, 68, 34}));
  source->Release(0, 2, 4);
  EXPECT_EQ(inner.released, (std::vector<uint64_t>{0, 2, 4}));
  inner.fail = true;
  Bytes out(8);
  EXPECT_ERROR(source->Read(1, 0, out), kDataLoss, "the disk is gone");
}

}  // namespace
}  // namespace quantfleet::pipeline
