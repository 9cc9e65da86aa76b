#include "cli/progress.h"

#include <fmt/core.h>
#include <unistd.h>

#include <cstdio>

#include "common/base/bytes.h"

namespace quantfleet::cli {
namespace {

constexpr Duration kWindow{8000};
constexpr Duration kRedraw{150};

std::string TimeText(uint64_t seconds) {
  if (seconds >= 3600)
    return fmt::format("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
  return fmt::format("{}:{:02}", seconds / 60, seconds % 60);
}

}  // namespace

std::string Minutes(double seconds) {
  return seconds < 100 ? fmt::format("{:.1f} s", seconds)
                       : fmt::format("{:.0f} minutes", seconds / 60);
}

std::string ProgressText::Render(uint64_t done, uint64_t total, Duration now) {
  samples_.push_back({now, done});
  while (samples_.size() > 2 && now - samples_.front().at > kWindow) samples_.pop_front();
  std::string line =
      fmt::format("{}  {:3} %  {} of {}", stage_, total == 0 ? 100 : done * 100 / total,
                  HumanBytes(done), HumanBytes(total));
  const Sample& first = samples_.front();
  if (now <= first.at || done <= first.done) return line;
  const double rate =
      static_cast<double>(done - first.done) * 1000 / static_cast<double>((now - first.at).count());
  line += fmt::format("  {}/s", HumanBytes(static_cast<uint64_t>(rate)));
  if (done < total)
    line += fmt::format("  ETA {}",
                        TimeText(static_cast<uint64_t>(static_cast<double>(total - done) / rate)));
  return line;
}

ProgressLine::ProgressLine(std::string stage)
    : terminal_(::isatty(STDERR_FILENO) == 1), text_(std::move(stage)) {}

ProgressLine::~ProgressLine() {
  if (visible_) fmt::print(stderr, "\r\x1b[K");
}

void ProgressLine::Update(uint64_t done, uint64_t total) {
  if (!terminal_) return;
  const Duration now = clock_.Monotonic();
  if (now - drawn_ < kRedraw && done < total) return;
  drawn_ = now;
  visible_ = true;
  fmt::print(stderr, "\r{}\x1b[K", text_.Render(done, total, now));
}

}  // namespace quantfleet::cli
