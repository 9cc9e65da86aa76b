// A feed of events: publishers never wait for subscribers' work; subscribers get a call per event.
//
// Thread-safe. A subscriber's function runs on the publisher's thread, must be quick and must not
// publish to the same feed. Once a Subscription is destroyed its function neither runs nor will
// run: so never destroy one while holding a lock that the function takes. The feed must outlive its
// subscriptions.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace quantfleet::daemon {

class Subscription {
 public:
  Subscription() = default;
  explicit Subscription(std::function<void()> cancel) : cancel_(std::move(cancel)) {}
  Subscription(Subscription&& other) noexcept : cancel_(std::exchange(other.cancel_, nullptr)) {}
  Subscription& operator=(Subscription&& other) noexcept {
    if (this != &other) {
      Cancel();
      cancel_ = std::exchange(other.cancel_, nullptr);
    }
    return *this;
  }
  ~Subscription() { Cancel(); }
  void Cancel() {
    if (auto cancel = std::exchange(cancel_, nullptr)) cancel();
  }

 private:
  std::function<void()> cancel_;
};

template <typename Event>
class Feed {
 public:
  [[nodiscard]] Subscription Subscribe(std::function<void(const Event&)> function) {
    auto entry = std::make_shared<Entry>();
    entry->function = std::move(function);
    std::lock_guard lock(mutex_);
    entries_.push_back(entry);
    return Subscription([this, entry] { Remove(entry); });
  }

  void Publish(const Event& event) {
    std::vector<std::shared_ptr<Entry>> entries;
    {
      std::lock_guard lock(mutex_);
      entries = entries_;
    }
    for (const auto& entry : entries) {
      std::lock_guard lock(entry->running);
      if (!entry->cancelled) entry->function(event);
    }
  }

 private:
  struct Entry {
    std::recursive_mutex running;  // recursive: a function may end its own subscription
    std::function<void(const Event&)> function;
    bool cancelled = false;
  };

  void Remove(const std::shared_ptr<Entry>& entry) {
    {
      std::lock_guard lock(mutex_);
      std::erase(entries_, entry);
    }
    std::lock_guard lock(entry->running);
    entry->cancelled = true;
  }

  std::mutex mutex_;
  std::vector<std::shared_ptr<Entry>> entries_;
};

}  // namespace quantfleet::daemon
