// A batch in groups of tokens, each group's number a constant of what is compiled for it.
#pragma once

#include <cstdint>
#include <utility>

namespace quantfleet::engine {

// Calls multiply.operator()<N>(t) for tokens t .. t + N until all have had their turn: as many as
// go of the first size, then of the next. The last size is 1.
template <int... kSizes, class Multiply>
void InGroups(std::integer_sequence<int, kSizes...>, int64_t tokens, const Multiply& multiply) {
  int64_t t = 0;
  const auto take = [&]<int kSize>(std::integral_constant<int, kSize>) {
    for (; t + kSize <= tokens; t += kSize) multiply.template operator()<kSize>(t);
  };
  (take(std::integral_constant<int, kSizes>()), ...);
}

}  // namespace quantfleet::engine
