// How much work is worth a thread of its own. Pure.
#pragma once

#include <algorithm>
#include <cstdint>

namespace quantfleet::engine {

// Multiply-adds below which handing work to another thread costs more than it saves.
inline constexpr int64_t kWorthAThread = 64 << 10;

// Items that a thread takes at once, each of so many multiply-adds.
inline int64_t Grain(int64_t work_per_item) {
  return std::max<int64_t>(1, kWorthAThread / std::max<int64_t>(1, work_per_item));
}

}  // namespace quantfleet::engine
