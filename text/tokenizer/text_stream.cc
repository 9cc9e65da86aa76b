#include "text/tokenizer/text_stream.h"

#include <algorithm>
#include <utility>

#include "common/base/utf8.h"

namespace quantfleet::text {
namespace {

constexpr std::string_view kReplacement = "\xef\xbf\xbd";  // U+FFFD

}  // namespace

std::string TakeWholeUtf8(std::string& bytes) {
  std::string out;
  size_t at = 0;
  while (at < bytes.size()) {
    size_t length;
    const Utf8 shape = ClassifyUtf8(std::string_view(bytes).substr(at), length);
    if (shape == Utf8::kUnfinished) break;
    if (shape == Utf8::kWhole) {
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

std::string TextStream::Return(std::string text) {
  returned_ += text.size();
  return text;
}

void TextStream::Hold(std::string_view text) {
  held_ += text;
  come_.bytes += text.size();
  come_.characters += std::ranges::count_if(text, [](char c) { return (c & 0xc0) != 0x80; });
}

std::string TextStream::TakeCertain() {
  size_t cut = std::string::npos;
  for (const std::string& stop : stops_) cut = std::min(cut, held_.find(stop));
  if (cut != std::string::npos) {
    stopped_ = true;
    held_.resize(cut);
    return Return(std::exchange(held_, {}));
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
  return Return(std::move(certain));
}

std::string TextStream::Append(std::string_view bytes) {
  if (stopped_) return "";
  bytes_ += bytes;
  Hold(TakeWholeUtf8(bytes_));
  return TakeCertain();
}

std::string TextStream::Finish() {
  if (stopped_) return "";
  if (!bytes_.empty()) Hold(kReplacement);
  bytes_.clear();
  return Return(std::exchange(held_, {}));
}

}  // namespace quantfleet::text
