#include "daemon/web/blob_request.h"

#include <algorithm>
#include <charconv>

namespace quantfleet::daemon {
namespace {

constexpr std::string_view kPrefix = "/v1/blobs/";
constexpr size_t kHexDigits = 2 * Digest::kSize;

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// Only digits; a number that does not fit counts as infinite, since it is beyond every blob's end.
std::optional<uint64_t> ParsePosition(std::string_view text) {
  if (text.empty() || !std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; }))
    return std::nullopt;
  uint64_t value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  return result.ec == std::errc() ? value : UINT64_MAX;
}

}  // namespace

std::optional<BlobName> ParseBlobTarget(std::string_view target) {
  if (!target.starts_with(kPrefix)) return std::nullopt;
  target.remove_prefix(kPrefix.size());
  if (target.size() <= kHexDigits + 1 || target[kHexDigits] != '.') return std::nullopt;
  const std::string_view hex = target.substr(0, kHexDigits);
  if (std::ranges::any_of(hex, [](char c) { return c >= 'A' && c <= 'F'; }))
    return std::nullopt;  // one blob, one URL
  const auto digest = Digest::FromHexText(hex);
  const auto encoding = pipeline::EncodingFromName(target.substr(kHexDigits + 1));
  if (!digest.ok() || !encoding) return std::nullopt;
  return BlobName{*digest, *encoding};
}

ByteRange ParseRange(std::string_view header, uint64_t size) {
  const ByteRange whole;
  header = Trim(header);
  constexpr std::string_view unit = "bytes=";
  if (!header.starts_with(unit) || header.find(',') != std::string_view::npos) return whole;
  header = Trim(header.substr(unit.size()));
  const size_t dash = header.find('-');
  if (dash == std::string_view::npos) return whole;
  const std::string_view first_text = header.substr(0, dash), last_text = header.substr(dash + 1);
  const ByteRange unsatisfiable{ByteRange::Kind::kUnsatisfiable, 0, 0};

  if (first_text.empty()) {  // "-n": the last n bytes
    const auto n = ParsePosition(last_text);
    if (!n) return whole;
    if (*n == 0 || size == 0) return unsatisfiable;
    const uint64_t length = std::min(*n, size);
    return {ByteRange::Kind::kPart, size - length, length};
  }
  const auto first = ParsePosition(first_text);
  if (!first) return whole;
  uint64_t last = UINT64_MAX;
  if (!last_text.empty()) {
    const auto parsed = ParsePosition(last_text);
    if (!parsed || *parsed < *first) return whole;  // invalid, so ignored
    last = *parsed;
  }
  if (*first >= size) return unsatisfiable;
  return {ByteRange::Kind::kPart, *first, std::min(last, size - 1) - *first + 1};
}

bool MatchesEtag(std::string_view header, std::string_view etag) {
  while (!header.empty()) {
    const size_t comma = header.find(',');  // our tags hold none
    std::string_view one = Trim(header.substr(0, comma));
    if (one.starts_with("W/")) one.remove_prefix(2);
    if (one == etag || one == "*") return true;
    header = comma == std::string_view::npos ? std::string_view() : header.substr(comma + 1);
  }
  return false;
}

}  // namespace quantfleet::daemon
