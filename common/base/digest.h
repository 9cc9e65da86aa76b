// SHA-256 digests: the names of chunks, manifests, sources and keys.
#pragma once

#include <array>
#include <compare>
#include <memory>
#include <string>
#include <string_view>

#include "common/base/bytes.h"
#include "common/base/status.h"

namespace quantfleet {

struct Digest {
  static constexpr size_t kSize = 32;
  std::array<std::byte, kSize> bytes{};

  auto operator<=>(const Digest&) const = default;
  ByteSpan span() const { return bytes; }
  std::string hex() const { return ToHex(bytes); }
  // The raw 32 bytes, as protobuf's `bytes` fields hold them.
  std::string raw() const { return std::string(AsText(bytes)); }

  static absl::StatusOr<Digest> FromRaw(std::string_view raw);      // exactly 32 bytes
  static absl::StatusOr<Digest> FromHexText(std::string_view hex);  // exactly 64 hex digits
};

// Incremental SHA-256. Not thread-safe; Finish once.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;

  void Update(ByteSpan bytes);
  Digest Finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

Digest HashBytes(ByteSpan bytes);
inline Digest HashText(std::string_view text) { return HashBytes(AsBytes(text)); }

}  // namespace quantfleet

template <>
struct std::hash<quantfleet::Digest> {
  size_t operator()(const quantfleet::Digest& d) const noexcept {
    return quantfleet::Load<size_t>(d.bytes.data());
  }
};
