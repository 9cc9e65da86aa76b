#include "pipeline/artifact/encoding.h"

#include <zstd.h>

#include <algorithm>
#include <array>
#include <memory>

namespace quantfleet::pipeline {
namespace {

constexpr int kLevel = 3;
// A chunk of this size or less is compressed whole: sampling it would cost as much.
constexpr size_t kSampleBytes = 64 << 10;
constexpr size_t kSamples = 4;

constexpr std::array<std::string_view, 4> kNames{"raw", "zstd", "planes2-zstd", "planes4-zstd"};

int PlanesOf(Encoding encoding) {
  switch (encoding) {
    case Encoding::kPlanes2Zstd:
      return 2;
    case Encoding::kPlanes4Zstd:
      return 4;
    case Encoding::kRaw:
    case Encoding::kZstd:
      return 1;
  }
  return 1;
}

// Bytes of equal significance together: all bytes 0 of the elements, then all bytes 1, ...; an
// incomplete last element stays as it is at the end.
void Split(ByteSpan plain, int planes, std::byte* out) {
  const size_t width = static_cast<size_t>(planes), count = plain.size() / width;
  for (size_t p = 0; p < width; ++p)
    for (size_t i = 0; i < count; ++i) *out++ = plain[i * width + p];
  std::ranges::copy(plain.subspan(count * width), out);
}

void Join(ByteSpan split, int planes, MutableBytes plain) {
  const size_t width = static_cast<size_t>(planes), count = plain.size() / width;
  for (size_t p = 0; p < width; ++p)
    for (size_t i = 0; i < count; ++i) plain[i * width + p] = split[p * count + i];
  std::ranges::copy(split.subspan(count * width),
                    plain.begin() + static_cast<ptrdiff_t>(count * width));
}

struct FreeCompressor {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
};

// At most `limit` bytes, or empty when the result does not fit into them (or zstd has no memory:
// raw serves then).
Bytes Compress(ZSTD_CCtx* context, ByteSpan plain, size_t limit) {
  Bytes out(limit);
  const size_t n =
      ZSTD_compressCCtx(context, out.data(), out.size(), plain.data(), plain.size(), kLevel);
  out.resize(ZSTD_isError(n) ? 0 : n);
  return out;
}

// What a saving of 1/32 leaves.
size_t Worthwhile(size_t plain) { return plain - plain / 32; }

// Samples spread over the chunk, each whole elements.
Bytes Sample(ByteSpan plain) {
  Bytes sample;
  sample.reserve(kSamples * kSampleBytes);
  const size_t step = (plain.size() - kSampleBytes) / (kSamples - 1) / 4 * 4;
  for (size_t i = 0; i < kSamples; ++i) {
    const ByteSpan part = plain.subspan(i * step, kSampleBytes);
    sample.insert(sample.end(), part.begin(), part.end());
  }
  return sample;
}

Bytes CompressAs(ZSTD_CCtx* context, Encoding encoding, ByteSpan plain, size_t limit) {
  const int planes = PlanesOf(encoding);
  if (planes == 1) return Compress(context, plain, limit);
  Bytes split(plain.size());
  Split(plain, planes, split.data());
  return Compress(context, split, limit);
}

}  // namespace

std::string_view Name(Encoding encoding) { return kNames[static_cast<size_t>(encoding)]; }

std::optional<Encoding> EncodingFromName(std::string_view name) {
  const auto at = std::ranges::find(kNames, name);
  if (at == kNames.end()) return std::nullopt;
  return static_cast<Encoding>(at - kNames.begin());
}

EncodedChunk EncodeChunk(ByteSpan plain, int element_bytes) {
  const EncodedChunk raw{Encoding::kRaw, {}};
  const std::unique_ptr<ZSTD_CCtx, FreeCompressor> context(ZSTD_createCCtx());
  if (!context || plain.size() < 32) return raw;

  Encoding encoding = Encoding::kZstd;
  if (element_bytes == 2) encoding = Encoding::kPlanes2Zstd;
  if (element_bytes == 4) encoding = Encoding::kPlanes4Zstd;
  if (plain.size() > kSamples * kSampleBytes) {
    const Bytes sample = Sample(plain);
    const size_t best = Worthwhile(sample.size());
    const size_t planes = CompressAs(context.get(), encoding, sample, best).size();
    const size_t whole =
        encoding == Encoding::kZstd ? planes : Compress(context.get(), sample, best).size();
    if (planes == 0 && whole == 0) return raw;
    if (planes == 0 || (whole != 0 && whole < planes)) encoding = Encoding::kZstd;
  }
  Bytes bytes = CompressAs(context.get(), encoding, plain, Worthwhile(plain.size()));
  if (bytes.empty()) return raw;
  bytes.shrink_to_fit();
  return {encoding, std::move(bytes)};
}

absl::Status DecodeChunk(Encoding encoding, ByteSpan stored, MutableBytes plain) {
  if (encoding == Encoding::kRaw) {
    if (stored.size() != plain.size())
      return DataLoss("a raw chunk has {} bytes instead of {}", stored.size(), plain.size());
    std::ranges::copy(stored, plain.begin());
    return absl::OkStatus();
  }
  // A chunk is only kept compressed where that saves bytes: anything larger is not ours.
  if (stored.size() > plain.size())
    return DataLoss("a compressed chunk of {} bytes claims to contain {} bytes", stored.size(),
                    plain.size());
  const int planes = PlanesOf(encoding);
  Bytes split(planes == 1 ? 0 : plain.size());
  const MutableBytes target = planes == 1 ? plain : MutableBytes(split);
  // The whole output is one buffer of the declared size: zstd needs no window of its own and stops
  // at its end, however much the input claims to unpack to.
  const size_t n = ZSTD_decompress(target.data(), target.size(), stored.data(), stored.size());
  if (ZSTD_isError(n)) return DataLoss("a chunk cannot be decompressed: {}", ZSTD_getErrorName(n));
  if (n != plain.size())
    return DataLoss("a chunk decompresses to {} bytes instead of {}", n, plain.size());
  if (planes != 1) Join(split, planes, plain);
  return absl::OkStatus();
}

}  // namespace quantfleet::pipeline
