// Spans of bytes, little-endian loads and stores, hex, and arithmetic on sizes that came from
// outside.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace quantfleet {

static_assert(std::endian::native == std::endian::little, "file formats are read in place");

using ByteSpan = std::span<const std::byte>;
using MutableBytes = std::span<std::byte>;
using Bytes = std::vector<std::byte>;

inline ByteSpan AsBytes(std::string_view s) { return std::as_bytes(std::span(s.data(), s.size())); }
inline std::string_view AsText(ByteSpan b) {
  return {reinterpret_cast<const char*>(b.data()), b.size()};
}

template <typename T>
T Load(const std::byte* at) {
  static_assert(std::is_trivially_copyable_v<T>);
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

template <typename T>
void Store(std::byte* at, T value) {
  static_assert(std::is_trivially_copyable_v<T>);
  std::memcpy(at, &value, sizeof value);
}

// Sizes from outside go through these; nullopt means that the result does not fit.
inline std::optional<uint64_t> CheckedAdd(uint64_t a, uint64_t b) {
  uint64_t r;
  if (__builtin_add_overflow(a, b, &r)) return std::nullopt;
  return r;
}
inline std::optional<uint64_t> CheckedMul(uint64_t a, uint64_t b) {
  uint64_t r;
  if (__builtin_mul_overflow(a, b, &r)) return std::nullopt;
  return r;
}

constexpr uint64_t RoundUp(uint64_t n, uint64_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

std::string ToHex(ByteSpan bytes);                   // lower case
std::optional<Bytes> FromHex(std::string_view hex);  // nullopt: odd length or a foreign character
std::string ToBase64Url(ByteSpan bytes);             // RFC 4648 section 5, no padding
std::optional<Bytes> FromBase64Url(std::string_view text);

// "4.2 MiB", for people.
std::string HumanBytes(uint64_t bytes);

}  // namespace quantfleet
