#include "daemon/door/strangers.h"

#include <algorithm>

namespace quantfleet::daemon {

int64_t Strangers::Bucket::Refill(Instant now) const {
  const auto elapsed = std::chrono::duration_cast<std::chrono::milliseconds>(now - at_);
  return allowance_.per_second * elapsed.count() / 1000;
}

int64_t Strangers::Bucket::Level(Instant now) {
  // What is less than a byte waits for the next time.
  if (const int64_t refill = Refill(now); refill > 0) {
    level_ = std::min(level_ + refill, allowance_.at_once);
    at_ = now;
  }
  return level_;
}

Strangers::Bucket& Strangers::AddressBucket(const std::string& address, Instant now) {
  return addresses_.try_emplace(address, limits_.address, now).first->second;
}

bool Strangers::MayCome(const std::string& address, Instant now) {
  const auto found = addresses_.find(address);
  return found == addresses_.end() || found->second.Level(now) > 0;
}

void Strangers::Come(uint64_t id, const std::string& address, Instant now) {
  strangers_.emplace(id, Stranger{address, now, Bucket(limits_.connection, now)});
}

void Strangers::Speak(uint64_t id) {
  if (const auto found = strangers_.find(id); found != strangers_.end()) found->second.spoke = true;
}

Strangers::Verdict Strangers::Judge(uint64_t id, const Sign& sign, Instant now) {
  const auto found = strangers_.find(id);
  if (found == strangers_.end()) return Verdict::kStays;
  Stranger& stranger = found->second;
  const int64_t more = static_cast<int64_t>(sign.received) - stranger.received;
  stranger.received += more;
  stranger.bucket.Take(more);
  Bucket& shared = AddressBucket(stranger.address, now);
  shared.Take(more);
  if (stranger.bucket.Level(now) < 0 || shared.Level(now) < 0) return Verdict::kGreedy;
  if (!stranger.spoke && now - stranger.since > limits_.to_speak) return Verdict::kSilent;
  if (sign.since > limits_.idle) return Verdict::kIdle;
  if (now - stranger.since > limits_.age) return Verdict::kOld;
  return Verdict::kStays;
}

void Strangers::Recognize(uint64_t id, Instant now) {
  const auto found = strangers_.find(id);
  if (found == strangers_.end()) return;
  AddressBucket(found->second.address, now).Take(-found->second.received);
  strangers_.erase(found);
}

void Strangers::Leave(uint64_t id) { strangers_.erase(id); }

void Strangers::ForgetRefilled(Instant now) {
  std::erase_if(addresses_, [now](const auto& at) { return at.second.Full(now); });
}

}  // namespace quantfleet::daemon
