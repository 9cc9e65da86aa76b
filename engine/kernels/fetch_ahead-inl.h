// For kernels of x86 that go through a matrix row by row. Included by a file that defines
// QF_TARGET; private to it.
#pragma once

#include <immintrin.h>

#include <cstddef>

#include "engine/kernels/unroll.h"

namespace quantfleet::engine {
namespace {

// Rows follow each other in memory, and what the processor fetches ahead by itself stops at each
// page.
template <int kBytes>
QF_INLINE void FetchAhead(const std::byte* at) {
  QF_UNROLL
  for (int i = 0; i < kBytes; i += 64)
    _mm_prefetch(reinterpret_cast<const char*>(at) + 1024 + i, _MM_HINT_T0);
}

}  // namespace
}  // namespace quantfleet::engine
