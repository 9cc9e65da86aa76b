#include "pipeline/format/safetensors/packed_weight.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "pipeline/model/whole_rows.h"
#include "pipeline/tensor/half.h"
#include "pipeline/tensor/table_codes.h"

namespace quantfleet::pipeline {
namespace {

// So many codes are unpacked at a time: reads are long where the file has columns for rows.
constexpr int64_t kCodesAtOnce = 1 << 20;

template <typename F>
CodeValues Fill(F value_of) {
  CodeValues values;
  for (int code = 0; code < 256; ++code) values[static_cast<size_t>(code)] = value_of(code);
  return values;
}

// A float of eight bits with `fraction` bits of fraction.
float SmallFloat(int code, int fraction, int bias) {
  const int exponent = (code & 0x7f) >> fraction, mantissa = code & ((1 << fraction) - 1);
  const float one = static_cast<float>(1 << fraction);
  const float magnitude =
      exponent == 0 ? std::ldexp(static_cast<float>(mantissa) / one, 1 - bias)
                    : std::ldexp(1.f + static_cast<float>(mantissa) / one, exponent - bias);
  return (code & 0x80) != 0 ? -magnitude : magnitude;
}

// Some rows with all that belongs to them, unpacked.
struct Rows {
  int64_t first_scale_row = 0;
  std::vector<uint8_t> codes, points;
  std::vector<float> scales, biases;  // by scale row and group
};

absl::Status Fetch(const PackedWeight& w, int64_t first, int64_t rows, Rows& out) {
  const int64_t groups = w.groups();
  out.first_scale_row = first / w.scale_rows;
  const int64_t scale_rows = (first + rows - 1) / w.scale_rows + 1 - out.first_scale_row;
  const auto read = [&](const auto& matrix, int64_t row, int64_t count, int64_t cols, auto& into) {
    return w.turned ? matrix.Read(0, cols, row, count, true, into)
                    : matrix.Read(row, count, 0, cols, false, into);
  };
  QF_RETURN_IF_ERROR(read(w.codes, first, rows, w.cols, out.codes));
  QF_RETURN_IF_ERROR(read(w.scales, out.first_scale_row, scale_rows, groups, out.scales));
  if (w.points)
    QF_RETURN_IF_ERROR(read(*w.points, out.first_scale_row, scale_rows, groups, out.points));
  if (w.biases)
    QF_RETURN_IF_ERROR(read(*w.biases, out.first_scale_row, scale_rows, groups, out.biases));
  return absl::OkStatus();
}

// Row `row` of the weight, the `at`-th of those that were fetched.
void DecodeRow(const PackedWeight& w, const Rows& from, int64_t row, int64_t at, float* out) {
  const int64_t groups = w.groups(), first = (row / w.scale_rows - from.first_scale_row) * groups;
  const uint8_t* codes = from.codes.data() + at * w.cols;
  const auto value = [&](int64_t col, int64_t group) {
    const auto g = static_cast<size_t>(first + group);
    const float code = (*w.values)[codes[col]];
    // The product of a code and a scale is exact in double, and so only the result is rounded.
    if (w.biases) return static_cast<float>(double{from.scales[g]} * code + double{from.biases[g]});
    return from.scales[g] * (w.points ? code - (*w.point_values)[from.points[g]] : code);
  };
  if (!w.group_of.empty()) {
    for (int64_t c = 0; c < w.cols; ++c) out[c] = value(c, w.group_of[static_cast<size_t>(c)]);
    return;
  }
  for (int64_t g = 0; g < groups; ++g)
    for (int64_t c = g * w.group; c < std::min((g + 1) * w.group, w.cols); ++c)
      out[c] = value(c, g);
}

// The same as blocks of `type`, which holds the row's numbers as they are.
void RepackRow(const PackedWeight& w, DType type, const Rows& from, int64_t row, int64_t at,
               std::byte* out) {
  const DTypeInfo& info = Info(type);
  const uint8_t* codes = from.codes.data() + at * w.cols;
  const bool ggml = info.family == SchemeFamily::kBlock;
  for (int64_t g = 0; g < w.groups(); ++g, codes += w.group, out += info.block_bytes) {
    const auto s = static_cast<size_t>((row - from.first_scale_row) * w.groups() + g);
    std::byte* to = out;
    if (type == DType::kMXFP4) {
      Store(to++, static_cast<uint8_t>(std::bit_cast<uint32_t>(from.scales[s]) >> 23));
    } else {
      Store(to, FloatToHalf(from.scales[s]));
      to += 2;
    }
    if (w.points) Store(to++, static_cast<uint8_t>((*w.point_values)[from.points[s]]));
    if (w.biases) {
      Store(to, FloatToHalf(from.biases[s]));
      to += 2;
    }
    const int64_t half = w.group / 2;
    for (int64_t i = 0; w.codes.bits == 8 && i < w.group; ++i)
      Store(to + i, static_cast<uint8_t>(ggml ? codes[i] - 128 : codes[i]));
    for (int64_t i = 0; w.codes.bits == 4 && i < half; ++i)
      Store(to + i, static_cast<uint8_t>(ggml ? codes[i] | codes[i + half] << 4
                                              : codes[2 * i] | codes[2 * i + 1] << 4));
  }
}

}  // namespace

const CodeValues& UnsignedCodes() {
  static const CodeValues values = Fill([](int u) { return static_cast<float>(u); });
  return values;
}

const CodeValues& MiddleCodes(int bits) {
  static const auto tables = [] {
    std::array<CodeValues, 9> all{};
    for (int b = 1; b <= 8; ++b)
      all[static_cast<size_t>(b)] =
          Fill([b](int u) { return static_cast<float>(u - (1 << (b - 1))); });
    return all;
  }();
  return tables[static_cast<size_t>(bits)];
}

const CodeValues& OneMoreCodes(int bits) {
  static const auto tables = [] {
    std::array<CodeValues, 9> all{};
    for (int b = 1; b <= 8; ++b)
      all[static_cast<size_t>(b)] =
          Fill([b](int u) { return static_cast<float>((u + 1) & ((1 << b) - 1)); });
    return all;
  }();
  return tables[static_cast<size_t>(bits)];
}

const CodeValues& SignedBytes() {
  static const CodeValues values =
      Fill([](int u) { return static_cast<float>(static_cast<int8_t>(u)); });
  return values;
}

const CodeValues& E4M3Codes() {
  static const CodeValues values = Fill([](int u) {
    return (u & 0x7f) == 0x7f ? std::numeric_limits<float>::quiet_NaN() : SmallFloat(u, 3, 7);
  });
  return values;
}

const CodeValues& E5M2Codes() {
  static const CodeValues values = Fill([](int u) {
    if ((u & 0x7c) != 0x7c) return SmallFloat(u, 2, 15);
    const float infinity = std::numeric_limits<float>::infinity();
    return (u & 3) != 0 ? std::numeric_limits<float>::quiet_NaN()
                        : ((u & 0x80) != 0 ? -infinity : infinity);
  });
  return values;
}

const CodeValues& E2M1Codes() {
  static const CodeValues values =
      Fill([](int u) { return static_cast<float>(kFp4Values[static_cast<size_t>(u & 15)]) / 2; });
  return values;
}

DType PackedWeight::Type() const {
  const int bits = codes.bits;
  const bool whole = group_of.empty() && scale_rows == 1 && cols % group == 0;
  if (!whole) return DType::kF32;
  if (scales.type == FloatMatrix::Type::kE8M0)
    return bits == 4 && group == 32 && values == &E2M1Codes() ? DType::kMXFP4 : DType::kF32;
  const bool sizes = (bits == 4 || bits == 8) && (group == 32 || group == 64 || group == 128);
  if (!sizes || scales.type != FloatMatrix::Type::kF16) return DType::kF32;
  if (values == &UnsignedCodes() && biases && !points)
    return biases->type == FloatMatrix::Type::kF16 ? GroupType({bits, group, GroupZero::kBias})
                                                   : DType::kF32;
  if (values == &UnsignedCodes() && points) return GroupType({bits, group, GroupZero::kPoint});
  if (values == &MiddleCodes(bits) && !points && !biases)
    return GroupType({bits, group, GroupZero::kMiddle});
  return DType::kF32;
}

absl::Status PackedWeight::Read(DType type, uint64_t offset, MutableBytes out) const {
  const auto row_bytes = static_cast<uint64_t>(RowBytes(type, cols));
  Rows fetched;
  Bytes made;
  const auto make = [&](int64_t first, int64_t count) -> absl::StatusOr<ByteSpan> {
    QF_RETURN_IF_ERROR(Fetch(*this, first, count, fetched));
    made.resize(static_cast<size_t>(count) * row_bytes);
    std::vector<float> row(static_cast<size_t>(cols));
    for (int64_t r = 0; r < count; ++r) {
      std::byte* const to = made.data() + static_cast<uint64_t>(r) * row_bytes;
      if (type == DType::kF32) {
        DecodeRow(*this, fetched, first + r, r, row.data());
        std::memcpy(to, row.data(), row_bytes);
      } else {
        RepackRow(*this, type, fetched, first + r, r, to);
      }
    }
    return made;
  };
  return CopyFromWholeRows(row_bytes, kCodesAtOnce / cols, offset, out, make);
}

}  // namespace quantfleet::pipeline
