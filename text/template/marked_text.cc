#include "text/template/marked_text.h"

#include <algorithm>

namespace quantfleet::text {
namespace {

// What Python's str.isspace says of one character.
constexpr std::string_view kWhiteSpace[] = {
    "\t",           "\n",           "\v",           "\f",           "\r",
    "\x1c",         "\x1d",         "\x1e",         "\x1f",         " ",
    "\xc2\x85",     "\xc2\xa0",     "\xe1\x9a\x80", "\xe2\x80\x80", "\xe2\x80\x81",
    "\xe2\x80\x82", "\xe2\x80\x83", "\xe2\x80\x84", "\xe2\x80\x85", "\xe2\x80\x86",
    "\xe2\x80\x87", "\xe2\x80\x88", "\xe2\x80\x89", "\xe2\x80\x8a", "\xe2\x80\xa8",
    "\xe2\x80\xa9", "\xe2\x80\xaf", "\xe2\x81\x9f", "\xe3\x80\x80"};

// Bytes of the character to strip at the text's beginning (or end); 0: none.
size_t Strippable(std::string_view text, bool at_end, std::string_view of) {
  if (text.empty()) return 0;
  if (!of.empty())
    return of.find(at_end ? text.back() : text.front()) != std::string_view::npos ? 1 : 0;
  for (const std::string_view space : kWhiteSpace)
    if (at_end ? text.ends_with(space) : text.starts_with(space)) return space.size();
  return 0;
}

}  // namespace

MarkedText MarkedText::Data(std::string_view bytes) {
  MarkedText text{std::string(bytes), {}};
  if (!bytes.empty()) text.data.push_back({0, bytes.size()});
  return text;
}

void MarkedText::Append(const MarkedText& more) {
  const size_t at = bytes.size();
  bytes += more.bytes;
  for (const auto& [begin, end] : more.data) {
    if (!data.empty() && data.back().end == at + begin)
      data.back().end = at + end;
    else
      data.push_back({at + begin, at + end});
  }
}

MarkedText MarkedText::Slice(size_t begin, size_t end) const {
  MarkedText slice{bytes.substr(begin, end - begin), {}};
  for (const ByteRange& range : data) {
    const size_t from = std::max(range.begin, begin), to = std::min(range.end, end);
    if (from < to) slice.data.push_back({from - begin, to - begin});
  }
  return slice;
}

MarkedText MarkedText::Strip(bool left, bool right, std::string_view of) const {
  std::string_view rest = bytes;
  size_t begin = 0;
  while (const size_t size = left ? Strippable(rest, false, of) : 0) {
    rest.remove_prefix(size);
    begin += size;
  }
  while (const size_t size = right ? Strippable(rest, true, of) : 0) rest.remove_suffix(size);
  return Slice(begin, begin + rest.size());
}

}  // namespace quantfleet::text
