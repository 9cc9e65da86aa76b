// Text that knows which of its bytes are data (what messages say) and which are a template's own:
// distinguished by origin, not by what they spell, and kept when texts are joined, cut and trimmed.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace quantfleet::text {

// Bytes [begin, end) of a text.
struct ByteRange {
  size_t begin, end;
  friend bool operator==(const ByteRange&, const ByteRange&) = default;
};

struct MarkedText {
  std::string bytes;
  std::vector<ByteRange> data;  // ordered, apart, none empty

  static MarkedText Data(std::string_view bytes);
  void Append(const MarkedText& more);
  MarkedText Slice(size_t begin, size_t end) const;
  // As Python's str.strip and the like: Unicode's white space, or the ASCII characters of `of` when
  // it is not empty.
  MarkedText Strip(bool left, bool right, std::string_view of = {}) const;
};

}  // namespace quantfleet::text
