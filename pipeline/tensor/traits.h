// What there is to say about each element type, one row each: everything else in the tree that
// depends on the type reads it here (docs/extend/codec.md). Those of ggml have its numbers; those
// that other runtimes quantize by have numbers behind them, which no file holds. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "pipeline/tensor/table_codes.h"

namespace quantfleet::pipeline {

enum class DType : uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ2_K = 10,
  kQ3_K = 11,
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kIQ2_XXS = 16,
  kIQ2_XS = 17,
  kIQ3_XXS = 18,
  kIQ1_S = 19,
  kIQ4_NL = 20,
  kIQ3_S = 21,
  kIQ2_S = 22,
  kIQ4_XS = 23,
  kIQ1_M = 29,
  kBF16 = 30,
  kTQ1_0 = 34,
  kTQ2_0 = 35,
  kMXFP4 = 39,
  kNVFP4 = 40,
  kQ1_0 = 41,
  kQ2_0 = 42,
  // Groups: i around the middle, u around a point, a with a bias (affine).
  kU4_G32 = 0x10001,
  kA4_G32 = 0x10002,
  kI4_G64 = 0x10004,
  kU4_G64 = 0x10005,
  kA4_G64 = 0x10006,
  kI4_G128 = 0x10008,
  kU4_G128 = 0x10009,
  kA4_G128 = 0x1000a,
  kI4_G16 = 0x1000c,
  kU4_G16 = 0x1000d,
  kI4_G256 = 0x1000e,
  kU4_G256 = 0x1000f,
  kU8_G32 = 0x10011,
  kA8_G32 = 0x10012,
  kI8_G64 = 0x10014,
  kU8_G64 = 0x10015,
  kA8_G64 = 0x10016,
  kI8_G128 = 0x10018,
  kU8_G128 = 0x10019,
  kA8_G128 = 0x1001a,
  kI8_G16 = 0x1001c,
  kU8_G16 = 0x1001d,
  kI8_G256 = 0x1001e,
  kU8_G256 = 0x1001f,
  // Around the middle, of a whole row.
  kI8_Row = 0x10020,
  kI4_Row = 0x10021,
};

// codec.h; each is defined in the file of its type, those of groups in groups.cc and those of rows
// in rows.cc.
struct Codec;
extern const Codec kF32Codec, kF16Codec, kBF16Codec;
extern const Codec kQ4_0Codec, kQ4_1Codec, kQ5_0Codec, kQ5_1Codec, kQ8_0Codec;
extern const Codec kQ4_KCodec, kQ5_KCodec, kQ6_KCodec;
extern const Codec kIQ4_NLCodec, kIQ4_XSCodec, kMXFP4Codec, kQ3_KCodec, kQ2_KCodec;
extern const Codec kTQ1_0Codec, kTQ2_0Codec, kNVFP4Codec, kQ1_0Codec, kQ2_0Codec;
extern const Codec kIQ1_SCodec, kIQ1_MCodec, kIQ2_XXSCodec, kIQ2_XSCodec, kIQ2_SCodec,
    kIQ3_XXSCodec, kIQ3_SCodec;
extern const Codec kU4_G32Codec, kA4_G32Codec, kI4_G64Codec, kU4_G64Codec, kA4_G64Codec,
    kI4_G128Codec, kU4_G128Codec, kA4_G128Codec, kU8_G32Codec, kA8_G32Codec, kI8_G64Codec,
    kU8_G64Codec, kA8_G64Codec, kI8_G128Codec, kU8_G128Codec, kA8_G128Codec, kI4_G16Codec,
    kU4_G16Codec, kI4_G256Codec, kU4_G256Codec, kI8_G16Codec, kU8_G16Codec, kI8_G256Codec,
    kU8_G256Codec;
extern const Codec kI8_RowCodec, kI4_RowCodec;

enum class SchemeFamily : uint8_t {
  kFloat,       // a value is an element
  kBlock,       // of 32, as ggml has them
  kSuperBlock,  // of 256 with smaller ones inside: ggml's K-quants
  kGroup,       // other runtimes' groups of 16 to 256
  kRow,         // a row is one group, however long it is
};

// A group of elements with one F16 scale, in which x is scale * (code - middle), scale * (code -
// point) or scale * code + bias; codes are unsigned and their middle is half their range
// (docs/formats/blocks.md).
enum class GroupZero : uint32_t { kMiddle, kPoint, kBias };
struct GroupScheme {
  int bits;          // of a code: 4 or 8
  int64_t elements;  // 16 to 256; 0: a whole row's
  GroupZero zero;

  bool operator==(const GroupScheme&) const = default;
};

// Where a group's codes begin, in bytes: behind its scale and what tells its zero, a byte for a
// point and an F16 for a bias.
constexpr int64_t CodesAt(GroupZero zero) {
  return zero == GroupZero::kMiddle ? 2 : zero == GroupZero::kPoint ? 3 : 4;
}

// How a block of a group scheme holds its codes, for who takes it apart (part.h).
enum class CodePlaces : uint8_t {
  kInOrder,      // unsigned, neighbours together
  kHalvesApart,  // unsigned, element j in the low half of byte j and element j + 16 in its high one
  kSigned,       // in order, as two's complement
};
struct GroupCodes {
  GroupScheme scheme;
  CodePlaces places;
};

// How a block's codes lie, for the engine's products of integers: what its kernels are chosen by.
enum class BlockLayout : uint8_t {
  kBytes32,     // of 32: a scale, codes of eight bits
  kNibbles32,   // of 32: a scale, a minimum where there is one, the fifth bits, nibbles
  kTable32,     // of 32: a scale (F16 or one byte of E8M0), nibbles that stand for `values`
  kAffineK,     // of 256: scales and minimums of six bits (affine_k.h), the fifth bits, nibbles
  kTwoBitsK,    // of 256: scales and minimums of four bits, codes of two (q2_k.h)
  kTableK,      // of 256: scales of six bits (iq4.h), nibbles that stand for `values`
  kSymmetricK,  // of 256: codes of six bits, scales of eight (symmetric_k.h)
  kUnpacked,    // of 256: however they lie, the codec unpacks them (unpacked.h)
};
struct IntegerProducts {
  BlockLayout layout;
  bool min = false;                   // kNibbles32: it has a minimum
  bool fifth_bit = false;             // kNibbles32, kAffineK: codes have five bits
  int largest_code = 0;               // kUnpacked: of either sign, below 128
  const CodeTable* values = nullptr;  // kTable32, kTableK
};

// Where a block's half-precision numbers stand, in bytes: F16 itself, scales and minimums.
struct HalfPlaces {
  int count;
  size_t at[2];
};
inline constexpr HalfPlaces kNoHalves = {0, {0, 0}}, kHalfFirst = {1, {0, 0}},
                            kTwoHalvesFirst = {2, {0, 2}};

// What ggml and llama.cpp call the type in a GGUF.
struct GgmlNumbers {
  uint32_t type;        // GGML_TYPE, of a tensor
  uint32_t file;        // LLAMA_FTYPE, of a file whose body it is
  uint32_t small_file;  // the same where the recipe is one of the small mixes (_S)
  uint32_t large_file;  // or of the large ones (_L)

  constexpr GgmlNumbers(uint32_t of_tensor, uint32_t of_file)
      : GgmlNumbers(of_tensor, of_file, of_file) {}
  constexpr GgmlNumbers(uint32_t of_tensor, uint32_t of_file, uint32_t of_small_file)
      : GgmlNumbers(of_tensor, of_file, of_small_file, of_file) {}
  constexpr GgmlNumbers(uint32_t of_tensor, uint32_t of_file, uint32_t of_small_file,
                        uint32_t of_large_file)
      : type(of_tensor), file(of_file), small_file(of_small_file), large_file(of_large_file) {}
};

struct DTypeInfo {
  DType type = DType::kF32;
  std::string_view name = {};  // "q4_0"
  SchemeFamily family = SchemeFamily::kFloat;
  // Of kRow both are 0: a block is as long as its row (BlockElements, BlockBytes).
  int64_t block_elements = 1;
  int64_t block_bytes = 0;
  const Codec* codec = nullptr;  // portable code; FindCodec has the best one for this machine
  // False: GGUF files that others made have it, and its codec decodes only.
  bool made = true;
  HalfPlaces halves = kNoHalves;
  // The scheme by which its parts can be taken (part.h); nullopt: whole blocks only.
  std::optional<GroupCodes> codes = std::nullopt;
  // What takes its place in recipes of GGUF where its blocks do not divide a row; where that one's
  // do not either it is F16.
  DType fallback = DType::kF16;
  // The relative error of normally distributed weights that are stored so: the root of the mean
  // squared error over the root mean square, measured without importance (the test measures it
  // again).
  double expected_error = 0;
  bool weighs = false;  // its codec minds importance
  // How the embedded engine multiplies it by activations of eight bits; nullopt: they stay floats.
  std::optional<IntegerProducts> integer_products = std::nullopt;
  std::optional<GgmlNumbers> ggml = std::nullopt;
};

namespace tables {

constexpr DTypeInfo Group(DType type, std::string_view name, const GroupScheme& scheme,
                          const Codec& codec, double expected_error) {
  return {.type = type,
          .name = name,
          .family = SchemeFamily::kGroup,
          .block_elements = scheme.elements,
          .block_bytes = CodesAt(scheme.zero) + scheme.elements * scheme.bits / 8,
          .codec = &codec,
          .halves = scheme.zero == GroupZero::kBias ? kTwoHalvesFirst : kHalfFirst,
          .codes = GroupCodes{scheme, CodePlaces::kInOrder},
          .expected_error = expected_error};
}

constexpr DTypeInfo Row(DType type, std::string_view name, int bits, const Codec& codec,
                        double expected_error) {
  return {.type = type,
          .name = name,
          .family = SchemeFamily::kRow,
          .block_elements = 0,
          .codec = &codec,
          .halves = kHalfFirst,
          .codes = GroupCodes{{bits, 0, GroupZero::kMiddle}, CodePlaces::kSigned},
          .expected_error = expected_error};
}

// A type of ggml's that is read and never made.
constexpr DTypeInfo ReadOnly(DType type, std::string_view name, SchemeFamily family,
                             int64_t elements, int64_t bytes, const Codec& codec,
                             const GgmlNumbers& ggml,
                             std::optional<IntegerProducts> products = std::nullopt) {
  return {.type = type,
          .name = name,
          .family = family,
          .block_elements = elements,
          .block_bytes = bytes,
          .codec = &codec,
          .made = false,
          .integer_products = products,
          .ggml = ggml};
}

constexpr IntegerProducts Unpacked(int largest_code) {
  return {.layout = BlockLayout::kUnpacked, .largest_code = largest_code};
}

}  // namespace tables

// In the order in which people see them listed.
inline constexpr DTypeInfo kDTypes[] = {
    {.type = DType::kF32,
     .name = "f32",
     .block_bytes = 4,
     .codec = &kF32Codec,
     .ggml = GgmlNumbers(0, 0)},
    {.type = DType::kF16,
     .name = "f16",
     .block_bytes = 2,
     .codec = &kF16Codec,
     .halves = kHalfFirst,
     .expected_error = 0.000206,
     .ggml = GgmlNumbers(1, 1)},
    {.type = DType::kQ4_0,
     .name = "q4_0",
     .family = SchemeFamily::kBlock,
     .block_elements = 32,
     .block_bytes = 18,
     .codec = &kQ4_0Codec,
     .halves = kHalfFirst,
     .codes = GroupCodes{{4, 32, GroupZero::kMiddle}, CodePlaces::kHalvesApart},
     .expected_error = 0.0859,
     .weighs = true,
     .integer_products = IntegerProducts{.layout = BlockLayout::kNibbles32},
     .ggml = GgmlNumbers(2, 2)},
    {.type = DType::kQ4_1,
     .name = "q4_1",
     .family = SchemeFamily::kBlock,
     .block_elements = 32,
     .block_bytes = 20,
     .codec = &kQ4_1Codec,
     .halves = kTwoHalvesFirst,
     .codes = GroupCodes{{4, 32, GroupZero::kBias}, CodePlaces::kHalvesApart},
     .expected_error = 0.0782,
     .weighs = true,
     .integer_products = IntegerProducts{.layout = BlockLayout::kNibbles32, .min = true},
     .ggml = GgmlNumbers(3, 3)},
    {.type = DType::kQ5_0,
     .name = "q5_0",
     .family = SchemeFamily::kBlock,
     .block_elements = 32,
     .block_bytes = 22,
     .codec = &kQ5_0Codec,
     .halves = kHalfFirst,
     .expected_error = 0.0430,
     .weighs = true,
     .integer_products = IntegerProducts{.layout = BlockLayout::kNibbles32, .fifth_bit = true},
     .ggml = GgmlNumbers(6, 8)},
    // Its products stay with floats: on stories260k, whose rows of 64 get it, activations of eight
    // bits moved the likelihood 0.6 % away from llama.cpp's, and nothing that is large has it.
    {.type = DType::kQ5_1,
     .name = "q5_1",
     .family = SchemeFamily::kBlock,
     .block_elements = 32,
     .block_bytes = 24,
     .codec = &kQ5_1Codec,
     .halves = kTwoHalvesFirst,
     .expected_error = 0.0378,
     .weighs = true,
     .ggml = GgmlNumbers(7, 9)},
    {.type = DType::kQ8_0,
     .name = "q8_0",
     .family = SchemeFamily::kBlock,
     .block_elements = 32,
     .block_bytes = 34,
     .codec = &kQ8_0Codec,
     .halves = kHalfFirst,
     .codes = GroupCodes{{8, 32, GroupZero::kMiddle}, CodePlaces::kSigned},
     .expected_error = 0.00535,
     .integer_products = IntegerProducts{.layout = BlockLayout::kBytes32},
     .ggml = GgmlNumbers(8, 7)},
    {.type = DType::kQ4_K,
     .name = "q4_k",
     .family = SchemeFamily::kSuperBlock,
     .block_elements = 256,
     .block_bytes = 144,
     .codec = &kQ4_KCodec,
     .halves = kTwoHalvesFirst,
     .fallback = DType::kQ5_0,
     .expected_error = 0.0713,
     .weighs = true,
     .integer_products = IntegerProducts{.layout = BlockLayout::kAffineK},
     .ggml = GgmlNumbers(12, 15, 14)},
    {.type = DType::kQ5_K,
     .name = "q5_k",
     .family = SchemeFamily::kSuperBlock,
     .block_elements = 256,
     .block_bytes = 176,
     .codec = &kQ5_KCodec,
     .halves = kTwoHalvesFirst,
     .fallback = DType::kQ5_1,
     .expected_error = 0.0361,
     .weighs = true,
     .integer_products = IntegerProducts{.layout = BlockLayout::kAffineK, .fifth_bit = true},
     .ggml = GgmlNumbers(13, 17, 16)},
    {.type = DType::kQ6_K,
     .name = "q6_k",
     .family = SchemeFamily::kSuperBlock,
     .block_elements = 256,
     .block_bytes = 210,
     .codec = &kQ6_KCodec,
     .halves = {1, {208, 0}},
     .fallback = DType::kQ8_0,
     .expected_error = 0.0177,
     .weighs = true,
     .integer_products = IntegerProducts{.layout = BlockLayout::kSymmetricK},
     .ggml = GgmlNumbers(14, 18)},
    {.type = DType::kIQ4_NL,
     .name = "iq4_nl",
     .family = SchemeFamily::kBlock,
     .block_elements = 32,
     .block_bytes = 18,
     .codec = &kIQ4_NLCodec,
     .halves = kHalfFirst,
     .expected_error = 0.0761,
     .weighs = true,
     .integer_products = IntegerProducts{.layout = BlockLayout::kTable32, .values = &kIq4Values},
     .ggml = GgmlNumbers(20, 25)},
    {.type = DType::kIQ4_XS,
     .name = "iq4_xs",
     .family = SchemeFamily::kSuperBlock,
     .block_elements = 256,
     .block_bytes = 136,
     .codec = &kIQ4_XSCodec,
     .halves = kHalfFirst,
     .fallback = DType::kIQ4_NL,
     .expected_error = 0.0767,
     .weighs = true,
     .integer_products = IntegerProducts{.layout = BlockLayout::kTableK, .values = &kIq4Values},
     .ggml = GgmlNumbers(23, 30)},
    {.type = DType::kMXFP4,
     .name = "mxfp4",
     .family = SchemeFamily::kBlock,
     .block_elements = 32,
     .block_bytes = 17,
     .codec = &kMXFP4Codec,
     .expected_error = 0.115,
     .integer_products = IntegerProducts{.layout = BlockLayout::kTable32, .values = &kFp4Values},
     .ggml = GgmlNumbers(39, 38)},
    {.type = DType::kQ3_K,
     .name = "q3_k",
     .family = SchemeFamily::kSuperBlock,
     .block_elements = 256,
     .block_bytes = 110,
     .codec = &kQ3_KCodec,
     .halves = {1, {108, 0}},
     .fallback = DType::kQ4_0,
     .expected_error = 0.151,
     .weighs = true,
     .integer_products = tables::Unpacked(4),
     .ggml = GgmlNumbers(11, 12, 11, 13)},
    {.type = DType::kQ2_K,
     .name = "q2_k",
     .family = SchemeFamily::kSuperBlock,
     .block_elements = 256,
     .block_bytes = 84,
     .codec = &kQ2_KCodec,
     .halves = {2, {80, 82}},
     .fallback = DType::kQ4_0,
     .expected_error = 0.2965,
     .weighs = true,
     .integer_products = IntegerProducts{.layout = BlockLayout::kTwoBitsK},
     .ggml = GgmlNumbers(10, 10)},
    {.type = DType::kIQ3_S,
     .name = "iq3_s",
     .family = SchemeFamily::kSuperBlock,
     .block_elements = 256,
     .block_bytes = 110,
     .codec = &kIQ3_SCodec,
     .halves = kHalfFirst,
     .fallback = DType::kIQ4_NL,
     .expected_error = 0.1664,
     .weighs = true,
     .integer_products = tables::Unpacked(15),
     .ggml = GgmlNumbers(21, 27, 26)},
    {.type = DType::kBF16,
     .name = "bf16",
     .block_bytes = 2,
     .codec = &kBF16Codec,
     .expected_error = 0.00166,
     .ggml = GgmlNumbers(30, 32)},
    tables::Group(DType::kI4_G16, "i4_g16", {4, 16, GroupZero::kMiddle}, kI4_G16Codec, 0.0762),
    tables::Group(DType::kI4_G64, "i4_g64", {4, 64, GroupZero::kMiddle}, kI4_G64Codec, 0.0949),
    tables::Group(DType::kI4_G128, "i4_g128", {4, 128, GroupZero::kMiddle}, kI4_G128Codec, 0.1033),
    tables::Group(DType::kI4_G256, "i4_g256", {4, 256, GroupZero::kMiddle}, kI4_G256Codec, 0.111),
    tables::Group(DType::kU4_G16, "u4_g16", {4, 16, GroupZero::kPoint}, kU4_G16Codec, 0.0690),
    tables::Group(DType::kU4_G32, "u4_g32", {4, 32, GroupZero::kPoint}, kU4_G32Codec, 0.0807),
    tables::Group(DType::kU4_G64, "u4_g64", {4, 64, GroupZero::kPoint}, kU4_G64Codec, 0.0910),
    tables::Group(DType::kU4_G128, "u4_g128", {4, 128, GroupZero::kPoint}, kU4_G128Codec, 0.1006),
    tables::Group(DType::kU4_G256, "u4_g256", {4, 256, GroupZero::kPoint}, kU4_G256Codec, 0.109),
    tables::Group(DType::kA4_G32, "a4_g32", {4, 32, GroupZero::kBias}, kA4_G32Codec, 0.0807),
    tables::Group(DType::kA4_G64, "a4_g64", {4, 64, GroupZero::kBias}, kA4_G64Codec, 0.0909),
    tables::Group(DType::kA4_G128, "a4_g128", {4, 128, GroupZero::kBias}, kA4_G128Codec, 0.1006),
    tables::Group(DType::kI8_G16, "i8_g16", {8, 16, GroupZero::kMiddle}, kI8_G16Codec, 0.00471),
    tables::Group(DType::kI8_G64, "i8_g64", {8, 64, GroupZero::kMiddle}, kI8_G64Codec, 0.00594),
    tables::Group(DType::kI8_G128, "i8_g128", {8, 128, GroupZero::kMiddle}, kI8_G128Codec, 0.00647),
    tables::Group(DType::kI8_G256, "i8_g256", {8, 256, GroupZero::kMiddle}, kI8_G256Codec, 0.0070),
    tables::Group(DType::kU8_G16, "u8_g16", {8, 16, GroupZero::kPoint}, kU8_G16Codec, 0.0041),
    tables::Group(DType::kU8_G32, "u8_g32", {8, 32, GroupZero::kPoint}, kU8_G32Codec, 0.00476),
    tables::Group(DType::kU8_G64, "u8_g64", {8, 64, GroupZero::kPoint}, kU8_G64Codec, 0.00536),
    tables::Group(DType::kU8_G128, "u8_g128", {8, 128, GroupZero::kPoint}, kU8_G128Codec, 0.00592),
    tables::Group(DType::kU8_G256, "u8_g256", {8, 256, GroupZero::kPoint}, kU8_G256Codec, 0.0064),
    tables::Group(DType::kA8_G32, "a8_g32", {8, 32, GroupZero::kBias}, kA8_G32Codec, 0.00482),
    tables::Group(DType::kA8_G64, "a8_g64", {8, 64, GroupZero::kBias}, kA8_G64Codec, 0.00542),
    tables::Group(DType::kA8_G128, "a8_g128", {8, 128, GroupZero::kBias}, kA8_G128Codec, 0.00597),
    // Their errors are those of rows of 4096, and grow with the largest of so many values.
    tables::Row(DType::kI8_Row, "i8_row", 8, kI8_RowCodec, 0.0087),
    tables::Row(DType::kI4_Row, "i4_row", 4, kI4_RowCodec, 0.1577),
    tables::ReadOnly(DType::kIQ1_S, "iq1_s", SchemeFamily::kSuperBlock, 256, 50, kIQ1_SCodec,
                     {19, 24}, tables::Unpacked(9)),
    tables::ReadOnly(DType::kIQ1_M, "iq1_m", SchemeFamily::kSuperBlock, 256, 56, kIQ1_MCodec,
                     {29, 31}, tables::Unpacked(9)),
    tables::ReadOnly(DType::kIQ2_XXS, "iq2_xxs", SchemeFamily::kSuperBlock, 256, 66, kIQ2_XXSCodec,
                     {16, 19}, tables::Unpacked(43)),
    tables::ReadOnly(DType::kIQ2_XS, "iq2_xs", SchemeFamily::kSuperBlock, 256, 74, kIQ2_XSCodec,
                     {17, 20}, tables::Unpacked(43)),
    tables::ReadOnly(DType::kIQ2_S, "iq2_s", SchemeFamily::kSuperBlock, 256, 82, kIQ2_SCodec,
                     {22, 29}, tables::Unpacked(43)),
    tables::ReadOnly(DType::kIQ3_XXS, "iq3_xxs", SchemeFamily::kSuperBlock, 256, 98, kIQ3_XXSCodec,
                     {18, 23}, tables::Unpacked(62)),
    tables::ReadOnly(DType::kTQ1_0, "tq1_0", SchemeFamily::kBlock, 256, 54, kTQ1_0Codec, {34, 36},
                     tables::Unpacked(1)),
    tables::ReadOnly(DType::kTQ2_0, "tq2_0", SchemeFamily::kBlock, 256, 66, kTQ2_0Codec, {35, 37},
                     tables::Unpacked(2)),
    tables::ReadOnly(DType::kNVFP4, "nvfp4", SchemeFamily::kBlock, 64, 36, kNVFP4Codec, {40, 39}),
    tables::ReadOnly(DType::kQ1_0, "q1_0", SchemeFamily::kBlock, 128, 18, kQ1_0Codec, {41, 40}),
    tables::ReadOnly(DType::kQ2_0, "q2_0", SchemeFamily::kBlock, 64, 18, kQ2_0Codec, {42, 41}),
};

}  // namespace quantfleet::pipeline
