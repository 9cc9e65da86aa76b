#include "pipeline/format/safetensors/packed_matrix.h"

#include <bit>
#include <cstring>
#include <limits>

#include "pipeline/tensor/half.h"

namespace quantfleet::pipeline {
namespace {

constexpr int kWordBits = 32;
// Where a word of AWQ's has code e: the inverse of 0, 2, 4, 6, 1, 3, 5, 7.
constexpr int kAwqNibble[] = {0, 4, 1, 5, 2, 6, 3, 7};

// Bytes [first, first + count) of the lines [line, line + lines) of a file, one line after the
// other.
absl::Status ReadLines(const File& file, uint64_t offset, int64_t line_bytes, int64_t line,
                       int64_t lines, int64_t first, int64_t count, Bytes& out) {
  out.resize(static_cast<size_t>(lines * count));
  const auto at = [&](int64_t l) { return offset + static_cast<uint64_t>(l * line_bytes + first); };
  if (count == line_bytes) return file.ReadAt(at(line), out);
  for (int64_t l = 0; l < lines; ++l)
    QF_RETURN_IF_ERROR(file.ReadAt(
        at(line + l),
        MutableBytes(out).subspan(static_cast<size_t>(l * count), static_cast<size_t>(count))));
  return absl::OkStatus();
}

// The code at bit `bit` of a stream, of which `n` bytes are there.
inline uint8_t CodeAt(const uint8_t* stream, int64_t n, int64_t bit, int bits) {
  const int64_t byte = bit / 8;
  const unsigned low = stream[byte], high = byte + 1 < n ? stream[byte + 1] : 0u;
  return static_cast<uint8_t>(((low | high << 8) >> (bit % 8)) & ((1u << bits) - 1));
}

float FloatOf(FloatMatrix::Type type, const std::byte* at) {
  switch (type) {
    case FloatMatrix::Type::kF32:
      return Load<float>(at);
    case FloatMatrix::Type::kF16:
      return HalfToFloat(Load<uint16_t>(at));
    case FloatMatrix::Type::kBF16:
      return BFloatToFloat(Load<uint16_t>(at));
    case FloatMatrix::Type::kE8M0: {
      const auto e = Load<uint8_t>(at);
      if (e == 255) return std::numeric_limits<float>::quiet_NaN();
      return std::bit_cast<float>(e == 0 ? 0x00400000u : static_cast<uint32_t>(e) << 23);
    }
  }
  return 0;
}

int64_t BytesOf(FloatMatrix::Type type) {
  return type == FloatMatrix::Type::kF32 ? 4 : type == FloatMatrix::Type::kE8M0 ? 1 : 2;
}

}  // namespace

int64_t CodeMatrix::lines() const {
  return packing == Packing::kDownColumns ? (height * bits + kWordBits - 1) / kWordBits : height;
}

absl::Status CodeMatrix::Read(int64_t row, int64_t rows, int64_t col, int64_t cols, bool turned,
                              std::vector<uint8_t>& out) const {
  out.resize(static_cast<size_t>(rows * cols));
  const int64_t row_step = turned ? 1 : cols, col_step = turned ? rows : 1;
  Bytes raw;
  if (packing == Packing::kDownColumns) {
    const int64_t first = row * bits / kWordBits,
                  end = ((row + rows) * bits + kWordBits - 1) / kWordBits;
    QF_RETURN_IF_ERROR(
        ReadLines(*file, offset, line_bytes, first, end - first, col * 4, cols * 4, raw));
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t bit = (row + r) * bits - first * kWordBits;
      const int shift = static_cast<int>(bit % kWordBits);
      const std::byte* line = raw.data() + bit / kWordBits * cols * 4;
      const bool split = shift + bits > kWordBits;
      for (int64_t c = 0; c < cols; ++c) {
        uint64_t word = Load<uint32_t>(line + c * 4);
        if (split)
          word |= static_cast<uint64_t>(Load<uint32_t>(line + (cols + c) * 4)) << kWordBits;
        out[static_cast<size_t>(r * row_step + c * col_step)] =
            static_cast<uint8_t>((word >> shift) & ((1u << bits) - 1));
      }
    }
    return absl::OkStatus();
  }
  // Whole words, so that AWQ's are not torn.
  const bool awq = packing == Packing::kAwq;
  const int64_t first = awq ? col / 8 * 4 : col * bits / 8,
                end = awq ? (col + cols + 7) / 8 * 4 : ((col + cols) * bits + 7) / 8;
  QF_RETURN_IF_ERROR(ReadLines(*file, offset, line_bytes, row, rows, first, end - first, raw));
  for (int64_t r = 0; r < rows; ++r) {
    const auto* line = reinterpret_cast<const uint8_t*>(raw.data()) + r * (end - first);
    for (int64_t c = 0; c < cols; ++c) {
      const int64_t code = col + c;
      const int64_t bit = (awq ? code / 8 * kWordBits + kAwqNibble[code % 8] * 4 : code * bits);
      out[static_cast<size_t>(r * row_step + c * col_step)] =
          CodeAt(line, end - first, bit - first * 8, bits);
    }
  }
  return absl::OkStatus();
}

absl::Status FloatMatrix::Read(int64_t row, int64_t rows, int64_t col, int64_t cols, bool turned,
                               std::vector<float>& out) const {
  out.resize(static_cast<size_t>(rows * cols));
  const int64_t each = BytesOf(type);
  Bytes raw;
  QF_RETURN_IF_ERROR(
      ReadLines(*file, offset, width * each, row, rows, col * each, cols * each, raw));
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < cols; ++c)
      out[static_cast<size_t>(turned ? c * rows + r : r * cols + c)] =
          FloatOf(type, raw.data() + (r * cols + c) * each);
  return absl::OkStatus();
}

std::optional<FloatMatrix::Type> FloatTypeOf(std::string_view dtype) {
  using Type = FloatMatrix::Type;
  if (dtype == "F32") return Type::kF32;
  if (dtype == "F16") return Type::kF16;
  if (dtype == "BF16") return Type::kBF16;
  if (dtype == "U8" || dtype == "F8_E8M0") return Type::kE8M0;
  return std::nullopt;
}

}  // namespace quantfleet::pipeline
