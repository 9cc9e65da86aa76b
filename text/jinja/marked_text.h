// Text that knows which of its bytes are data (what messages say) and which are a template's own:
// distinguished by origin, not by what they spell, and kept when texts are joined, cut and trimmed.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace quantfleet::jinja {

// Bytes [begin, end) of a text.
struct ByteRange {
  size_t begin, end;
  friend bool operator==(const ByteRange&, const ByteRange&) = default;
};

struct MarkedText {
  std::string bytes;
  std::vector<ByteRange> data{};  // ordered, apart, none empty

  static MarkedText Data(std::string_view bytes);
  void Append(const MarkedText& more) { Append(more, 0, more.bytes.size()); }
  // Bytes [begin, end) of `more`, which is another text.
  void Append(const MarkedText& more, size_t begin, size_t end);
  // `data`: whether it is that.
  void Append(std::string_view more, bool data);
  MarkedText Slice(size_t begin, size_t end) const;
  // Whether the byte at `at` is data.
  bool IsData(size_t at) const;
  // As Python's str.strip and the like: Unicode's white space, or the characters of `of` when it is
  // given.
  MarkedText Strip(bool left, bool right, const std::string_view* of = nullptr) const;
};

}  // namespace quantfleet::jinja
