// Who loads a model, proves it or watches it soak: one at a time, since all of them share the
// machine's memory and cores, and each measures what is left of them. Thread-safe.
#pragma once

#include <condition_variable>
#include <mutex>
#include <stop_token>
#include <utility>

namespace quantfleet::agent {

class Turns {
 public:
  // Has the turn for as long as it lives. Moved from, it has none.
  class Turn {
   public:
    Turn() = default;
    ~Turn() { Release(); }
    Turn(Turn&& other) noexcept : turns_(other.turns_) { other.turns_ = nullptr; }
    Turn& operator=(Turn&& other) noexcept {
      std::swap(turns_, other.turns_);
      return *this;
    }
    explicit operator bool() const { return turns_ != nullptr; }
    void Release();

   private:
    friend class Turns;
    explicit Turn(Turns* turns) : turns_(turns) {}
    Turns* turns_ = nullptr;
  };

  // Waits for it; none when `stop` came first.
  Turn Take(std::stop_token stop);

 private:
  std::mutex mutex_;
  std::condition_variable_any free_;
  bool taken_ = false;
};

}  // namespace quantfleet::agent
