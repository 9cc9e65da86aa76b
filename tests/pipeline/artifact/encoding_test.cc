#include "pipeline/artifact/encoding.h"

#include <gtest/gtest.h>
#include <zstd.h>

#include <cmath>
#include <random>

#include "tests/support/noise.h"

namespace quantfleet::pipeline {
namespace {

using ::quantfleet::testing::Noise;

// What weights look like: exponents that repeat, mantissas that do not.
Bytes Bf16Weights(size_t count) {
  std::mt19937 engine(7);
  std::normal_distribution<float> normal(0, 0.02f);
  Bytes bytes(2 * count);
  for (size_t i = 0; i < count; ++i)
    Store(bytes.data() + 2 * i,
          static_cast<uint16_t>(std::bit_cast<uint32_t>(normal(engine)) >> 16));
  return bytes;
}

Bytes Decoded(const EncodedChunk& chunk, ByteSpan plain) {
  Bytes out(plain.size());
  const absl::Status status = DecodeChunk(
      chunk.encoding, chunk.encoding == Encoding::kRaw ? plain : ByteSpan(chunk.bytes), out);
  EXPECT_TRUE(status.ok()) << Describe(status);
  return out;
}

TEST(Encoding, NamesRoundTrip) {
  for (const Encoding e :
       {Encoding::kRaw, Encoding::kZstd, Encoding::kPlanes2Zstd, Encoding::kPlanes4Zstd})
    EXPECT_EQ(EncodingFromName(Name(e)), e);
  EXPECT_EQ(EncodingFromName("gzip"), std::nullopt);
}

TEST(Encoding, NoiseStaysRaw) {
  for (const size_t n :
       {size_t{0}, size_t{1}, size_t{31}, size_t{5000}, size_t{1} << 20, size_t{kMaxChunkBytes}}) {
    const EncodedChunk chunk = EncodeChunk(Noise(n, 1), 1);
    EXPECT_EQ(chunk.encoding, Encoding::kRaw) << n;
    EXPECT_TRUE(chunk.bytes.empty());
  }
}

TEST(Encoding, FloatsGainFromPlanes) {
  const Bytes plain = Bf16Weights(1 << 20);
  const EncodedChunk planes = EncodeChunk(plain, 2);
  EXPECT_EQ(planes.encoding, Encoding::kPlanes2Zstd);
  EXPECT_LT(planes.bytes.size(), plain.size() * 9 / 10);
  EXPECT_EQ(Decoded(planes, plain), plain);
}

TEST(Encoding, EverySizeAndWidthRoundTrips) {
  for (const int width : {1, 2, 4})
    for (const size_t n : {33u, 64u, 1001u, 65537u, 262144u, 262145u, 1048577u}) {
      Bytes plain(n);
      for (size_t i = 0; i < n; ++i) plain[i] = static_cast<std::byte>(i % 7 * (i >> 9));
      const EncodedChunk chunk = EncodeChunk(plain, width);
      EXPECT_NE(chunk.encoding, Encoding::kRaw) << width << " " << n;
      EXPECT_EQ(Decoded(chunk, plain), plain) << width << " " << n;
    }
}

TEST(Encoding, TextAsFloatsMayStayWhole) {
  // Two-byte words that repeat as a whole, not plane by plane: the probe takes what is smaller, and
  // it round-trips.
  const Bytes words = Noise(4096, 1);
  Bytes plain;
  for (int i = 0; i < 256; ++i) plain.insert(plain.end(), words.begin(), words.end());
  const EncodedChunk chunk = EncodeChunk(plain, 2);
  EXPECT_LT(chunk.bytes.size(), size_t{20000});
  EXPECT_EQ(Decoded(chunk, plain), plain);
}

TEST(Encoding, ABombStopsAtTheDeclaredSize) {
  const Bytes zeros(size_t{24} << 20);
  Bytes bomb(ZSTD_compressBound(zeros.size()));
  bomb.resize(ZSTD_compress(bomb.data(), bomb.size(), zeros.data(), zeros.size(), 3));
  Bytes plain(kMaxChunkBytes);
  ASSERT_LT(bomb.size(), plain.size());
  EXPECT_TRUE(absl::IsDataLoss(DecodeChunk(Encoding::kZstd, bomb, plain)));
  EXPECT_TRUE(absl::IsDataLoss(DecodeChunk(Encoding::kPlanes4Zstd, bomb, plain)));
}

TEST(Encoding, ManyFramesCannotExceedIt) {
  const Bytes zeros(100000);
  Bytes frame(ZSTD_compressBound(zeros.size()));
  frame.resize(ZSTD_compress(frame.data(), frame.size(), zeros.data(), zeros.size(), 3));
  Bytes frames;
  for (int i = 0; i < 50; ++i) frames.insert(frames.end(), frame.begin(), frame.end());
  Bytes plain(1 << 20);
  EXPECT_TRUE(absl::IsDataLoss(DecodeChunk(Encoding::kZstd, frames, plain)));
}

TEST(Encoding, DamageIsRefused) {
  const Bytes plain = Bf16Weights(10000);
  const EncodedChunk chunk = EncodeChunk(plain, 2);
  Bytes out(plain.size());
  Bytes cut = chunk.bytes;
  cut.pop_back();
  EXPECT_TRUE(absl::IsDataLoss(DecodeChunk(chunk.encoding, cut, out)));
  EXPECT_TRUE(absl::IsDataLoss(DecodeChunk(chunk.encoding, {}, out)));
  EXPECT_TRUE(absl::IsDataLoss(DecodeChunk(chunk.encoding, Noise(500, 1), out)));
  Bytes shorter(plain.size() - 1), longer(plain.size() + 1);
  EXPECT_TRUE(absl::IsDataLoss(DecodeChunk(chunk.encoding, chunk.bytes, shorter)));
  EXPECT_TRUE(absl::IsDataLoss(DecodeChunk(chunk.encoding, chunk.bytes, longer)));
  EXPECT_TRUE(absl::IsDataLoss(DecodeChunk(Encoding::kRaw, plain, shorter)));
  EXPECT_TRUE(absl::IsDataLoss(DecodeChunk(Encoding::kZstd, Noise(plain.size() + 1, 1), out)));
}

}  // namespace
}  // namespace quantfleet::pipeline
