#include "common/base/retry_after.h"

#include <algorithm>
#include <charconv>
#include <string>

namespace quantfleet {
namespace {

constexpr char kRetryAfterUrl[] = "quantfleet/retry-after-ms";  // of the payload: a decimal number

}  // namespace

absl::Status WithRetryAfter(absl::Status refusal, Duration after) {
  // From a view: the template for strings is in Debian's library under g++'s name for it alone.
  const std::string text = std::to_string(std::max<int64_t>(1, after.count()));
  refusal.SetPayload(kRetryAfterUrl, absl::Cord(absl::string_view(text)));
  return refusal;
}

std::optional<Duration> RetryAfter(const absl::Status& status) {
  const auto payload = status.GetPayload(kRetryAfterUrl);
  if (!payload) return std::nullopt;
  const std::string text(*payload);
  int64_t ms = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), ms);
  if (error != std::errc() || end != text.data() + text.size() || ms < 1) return std::nullopt;
  return Duration(ms);
}

}  // namespace quantfleet
