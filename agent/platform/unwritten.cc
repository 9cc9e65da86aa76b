#include "agent/platform/unwritten.h"

#include "common/base/outside_text.h"

namespace quantfleet::agent {

absl::Status Unwritten::Note(std::string_view what, absl::Status written) {
  std::lock_guard lock(mutex_);
  const auto before = why_.find(what);
  if (written.ok()) {
    if (before == why_.end()) return written;
    why_.erase(before);
    log_(fmt::format("{} is written again", what));
  } else if (std::string why = Message(written); before == why_.end() || before->second != why) {
    log_(fmt::format("cannot write {}: {}; what runs goes on", what, why));
    why_.insert_or_assign(std::string(what), std::move(why));
  }
  return written;
}

std::string Unwritten::Text() const {
  std::lock_guard lock(mutex_);
  std::string text;
  for (const auto& [what, why] : why_)
    text += fmt::format("{}cannot write {}: {}", text.empty() ? "" : "; ", what, why);
  return Shown(text, kMaxText);
}

}  // namespace quantfleet::agent
