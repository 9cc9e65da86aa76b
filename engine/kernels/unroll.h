// For kernels over arrays of registers. QF_INLINE needs QF_TARGET, the target attribute of the file
// that includes this.
#pragma once

// Arrays of registers stay in registers only where every index is a constant.
#if defined(__clang__)
#define QF_UNROLL _Pragma("clang loop unroll(full)")
#else
#define QF_UNROLL _Pragma("GCC unroll 64")
#endif
#define QF_INLINE [[gnu::always_inline]] QF_TARGET static inline
