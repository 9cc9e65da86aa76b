// The description of an instruction set's registers, from which the kernels are made: attention
// (attention_kernels-inl.h), a row's dot product and decoding (vector_kernels-inl.h) and, on x86,
// the products of batches by panels (panel_kernels-inl.h). A new width is one registers_*-inl.h,
// and one small file per kind of kernel that says which target it is compiled for.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>

namespace quantfleet::engine {

// V has only static members; all of its functions are inlined into kernels of the same target.
//
//   Reg           a register of kLanes floats (4, 8 or 16)
//   kAccumulators sums of attention that stay in registers beside what they are made of
//   kTurned       registers of turned queries that a product of attention takes at once
//   kDotSums      sums that a dot product keeps apart; their number decides its order
//   kMasked       whether registers can be loaded in part: the end of a row is one load then, not a
//                 loop
//   Load          kLanes floats; LoadHalves, LoadBFloats: of F16 and BF16; LoadBytes: signed bytes
//   LoadNibbles   32 elements of a block of Q4_0 less their middle, from 16 bytes
//   Half          one F16 as a float; Set: the same float in all lanes
//   Fma           a * b + c, rounded once
//   Max           where one operand is NaN the second
//   PowerOfTwo    of whole numbers
//   Sum, Sum4     of one register's lanes, of those of four; Greatest: the same of the greatest
//   First         lane 0
//   Fetch         asks for memory ahead of time; FetchAhead: of what follows the bytes at a place
//
// For panels also Ints, as many bits as whole numbers: signed 32-bit lanes, or bytes.
//
//   kPanelRegs    registers that hold a column of a panel of integers
//   kFloatPanelColumns  columns of a panel of floats
//   IntegerTokens, FloatTokens  numbers of tokens that a panel is taken times at once, falling to 1
//   LoadSome, LoadSomeHalves, LoadSomeBFloats  the first `count` lanes, zero behind them
//   StoreSome     the first `count` lanes, of which there may be more or fewer than kLanes
//   Fnma          c - a * b, rounded once
//   SetFour       the same four bytes in all lanes
//   Transpose     kLanes registers: lane j of register i and lane i of register j change places
//   Bits          a register of floats as it is
//   Products<kBits>  sums of four products of codes of so many bits with signed bytes, per lane:
//                 Of the first, Add of more, up to kRun of them, then Widen to 32 bits. Keep holds
//                 the compiler to the source's order where that is faster. Codes are unsigned; of
//                 eight bits they are as block_units-inl.h gives them to this set.
template <class V>
concept Registers = requires(typename V::Reg x, const std::byte* at, float* out) {
  requires V::kLanes * sizeof(float) == sizeof(x);
  requires 32 % V::kLanes == 0;
  requires V::kAccumulators > 0 && V::kTurned > 0 && V::kDotSums > 0;
  { V::kMasked } -> std::convertible_to<bool>;
  { V::Fma(V::Load(at), V::LoadHalves(at), V::LoadBytes(at)) } -> std::same_as<typename V::Reg>;
  { V::Sum(V::Max(V::Set(V::Half(at)), x)) } -> std::same_as<float>;
  V::Store(x, out);
};

}  // namespace quantfleet::engine
