// For what another thread or process brings about: a test that waits for it ends also where it
// never comes.
#pragma once

#include <chrono>
#include <future>
#include <thread>

namespace quantfleet::testing {

inline constexpr std::chrono::seconds kLongEnough{60};

// Whether the condition came to hold in time.
template <typename Condition>
bool Eventually(Condition condition) {
  const auto end = std::chrono::steady_clock::now() + kLongEnough;
  while (!condition()) {
    if (std::chrono::steady_clock::now() >= end) return false;
    std::this_thread::yield();
  }
  return true;
}

template <typename T>
bool Arrives(const std::future<T>& value) {
  return value.wait_for(kLongEnough) == std::future_status::ready;
}

}  // namespace quantfleet::testing
