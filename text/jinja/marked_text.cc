#include "text/jinja/marked_text.h"

#include <algorithm>

#include "common/base/utf8.h"
#include "text/jinja/python_characters.h"

namespace quantfleet::jinja {
namespace {

bool Contains(std::string_view set, std::string_view character) {
  for (; !set.empty(); set.remove_prefix(CharacterBytes(set)))
    if (set.substr(0, CharacterBytes(set)) == character) return true;
  return false;
}

// Bytes of the character to strip at the text's beginning (or end); 0: none.
size_t Strippable(std::string_view text, bool at_end, const std::string_view* of) {
  if (text.empty()) return 0;
  if (of == nullptr) return SpaceBytes(text, at_end);
  const std::string_view character = at_end ? text.substr(text.size() - LastCharacter(text).length)
                                            : text.substr(0, CharacterBytes(text));
  return Contains(*of, character) ? character.size() : 0;
}

}  // namespace

MarkedText MarkedText::Data(std::string_view bytes) {
  MarkedText text{std::string(bytes)};
  if (!bytes.empty()) text.data.push_back({0, bytes.size()});
  return text;
}

void MarkedText::Append(const MarkedText& more, size_t begin, size_t end) {
  const size_t at = bytes.size();
  bytes.append(more.bytes, begin, end - begin);
  auto range =
      std::ranges::upper_bound(more.data, begin, {}, [](const ByteRange& r) { return r.end; });
  for (; range != more.data.end() && range->begin < end; ++range) {
    const size_t from = at + std::max(range->begin, begin) - begin;
    const size_t to = at + std::min(range->end, end) - begin;
    if (from >= to) continue;
    if (!data.empty() && data.back().end == from)
      data.back().end = to;
    else
      data.push_back({from, to});
  }
}

void MarkedText::Append(std::string_view more, bool is_data) {
  const size_t at = bytes.size();
  bytes += more;
  if (!is_data || more.empty()) return;
  if (!data.empty() && data.back().end == at)
    data.back().end = bytes.size();
  else
    data.push_back({at, bytes.size()});
}

MarkedText MarkedText::Slice(size_t begin, size_t end) const {
  MarkedText slice;
  slice.Append(*this, begin, end);
  return slice;
}

bool MarkedText::IsData(size_t at) const {
  const auto range =
      std::ranges::upper_bound(data, at, {}, [](const ByteRange& r) { return r.end; });
  return range != data.end() && range->begin <= at;
}

MarkedText MarkedText::Strip(bool left, bool right, const std::string_view* of) const {
  std::string_view rest = bytes;
  size_t begin = 0;
  while (const size_t size = left ? Strippable(rest, false, of) : 0) {
    rest.remove_prefix(size);
    begin += size;
  }
  while (const size_t size = right ? Strippable(rest, true, of) : 0) rest.remove_suffix(size);
  return Slice(begin, begin + rest.size());
}

}  // namespace quantfleet::jinja
