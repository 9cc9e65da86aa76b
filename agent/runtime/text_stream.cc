#include "agent/runtime/text_stream.h"

#include <algorithm>
#include <cstdint>
#include <utility>

namespace quantfleet::agent {
namespace {

constexpr std::string_view kReplacement = "\xef\xbf\xbd";  // U+FFFD

enum class Shape { kWhole, kUnfinished, kBad };

// The sequence at the front of `s` and, when whole, its length (Unicode 15, table 3-7: no surrogates, no
// overlong).
Shape Classify(std::string_view s, size_t& length) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(s[i]); };
  length = 1;
  const uint8_t first = byte(0);
  if (first < 0x80) return Shape::kWhole;
  if (first < 0xc2 || first > 0xf4) return Shape::kBad;
  length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  uint8_t low = 0x80, high = 0xbf;  // of the second byte
  if (first == 0xe0) low = 0xa0;
  if (first == 0xed) high = 0x9f;
  if (first == 0xf0) low = 0x90;
  if (first == 0xf4) high = 0x8f;
  for (size_t i = 1; i < length; ++i) {
    if (i >= s.size()) return Shape::kUnfinished;
    if (byte(i) < low || byte(i) > high) return Shape::kBad;
    low = 0x80, high = 0xbf;
  }
  return Shape::kWhole;
}

}  // namespace

std::string TakeWholeUtf8(std::string& bytes) {
  std::string out;
  size_t at = 0;
  while (at < bytes.size()) {
    size_t length;
    const Shape shape = Classify(std::string_view(bytes).substr(at), length);
    if (shape == Shape::kUnfinished) break;
    if (shape == Shape::kWhole) {
      out.append(bytes, at, length);
      at += length;
    } else {
      out += kReplacement;
      ++at;
    }
  }
  bytes.erase(0, at);
  return out;
}

TextStream::TextStream(std::vector<std::string> stops) : stops_(std::move(stops)) {
  std::erase_if(stops_, [](const std::string& stop) { return stop.empty(); });
}

std::string TextStream::TakeCertain() {
  size_t cut = std::string::npos;
  for (const std::string& stop : stops_) cut = std::min(cut, held_.find(stop));
  if (cut != std::string::npos) {
    stopped_ = true;
    held_.resize(cut);
    return std::exchange(held_, {});
  }
  // The longest end of the text that begins a stop string waits.
  size_t waiting = 0;
  for (const std::string& stop : stops_) {
    for (size_t n = std::min(stop.size() - 1, held_.size()); n > waiting; --n) {
      if (held_.compare(held_.size() - n, n, stop, 0, n) == 0) waiting = n;
    }
  }
  std::string certain = held_.substr(0, held_.size() - waiting);
  held_.erase(0, certain.size());
  return certain;
}

std::string TextStream::Append(std::string_view bytes) {
  if (stopped_) return "";
  bytes_ += bytes;
  held_ += TakeWholeUtf8(bytes_);
  return TakeCertain();
}

std::string TextStream::Finish() {
  if (stopped_) return "";
  if (!bytes_.empty()) held_ += kReplacement;
  bytes_.clear();
  return std::exchange(held_, {});
}

}  // namespace quantfleet::agent
