#include "agent/update/turns.h"

namespace quantfleet::agent {

Turns::Turn Turns::Take(std::stop_token stop) {
  std::unique_lock lock(mutex_);
  if (!free_.wait(lock, stop, [this] { return !taken_; })) return {};
  taken_ = true;
  return Turn(this);
}

void Turns::Turn::Release() {
  if (turns_ == nullptr) return;
  {
    std::lock_guard lock(turns_->mutex_);
    turns_->taken_ = false;
  }
  turns_->free_.notify_one();
  turns_ = nullptr;
}

}  // namespace quantfleet::agent
