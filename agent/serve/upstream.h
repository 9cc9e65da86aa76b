// A server on this machine that answers for a model in place of an engine: where it is, and how
// many wait for it. Thread-safe.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>

#include "common/base/clock.h"

namespace quantfleet::agent {

class Upstream {
 public:
  // "127.0.0.1:port" or "unix:PATH"; empty: not ready, or being started again.
  std::string address() const {
    std::lock_guard lock(mutex_);
    return address_;
  }
  void SetAddress(std::string address) {
    std::lock_guard lock(mutex_);
    address_ = std::move(address);
  }

  // One answer that is under way, for as long as this lives.
  class Use {
   public:
    explicit Use(std::shared_ptr<Upstream> of) : of_(std::move(of)) { of_->Count(1); }
    ~Use() { of_->Count(-1); }
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;

   private:
    const std::shared_ptr<Upstream> of_;
  };
  // Waits until no answer is under way, at most this long.
  void Drain(Duration most) {
    std::unique_lock lock(mutex_);
    idle_.wait_for(lock, most, [this] { return uses_ == 0; });
  }

 private:
  void Count(int by) {
    std::lock_guard lock(mutex_);
    uses_ += by;
    if (uses_ == 0) idle_.notify_all();
  }

  mutable std::mutex mutex_;
  std::condition_variable idle_;
  std::string address_;
  int uses_ = 0;
};

}  // namespace quantfleet::agent
