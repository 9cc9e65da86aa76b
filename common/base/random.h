// Randomness for secrets, ids and jitter, as an interface. Thread-safe.
#pragma once

#include <mutex>
#include <random>

#include "common/base/bytes.h"

namespace quantfleet {

class Random {
 public:
  virtual ~Random() = default;
  virtual void Fill(MutableBytes out) = 0;
  uint64_t Next() {
    uint64_t v;
    Fill(std::as_writable_bytes(std::span(&v, 1)));
    return v;
  }
  // "p" + n random bytes as hex: an id that nobody can guess.
  std::string Id(std::string_view prefix, size_t n = 8) {
    Bytes b(n);
    Fill(b);
    return std::string(prefix) + ToHex(b);
  }
};

// OpenSSL's generator.
class SecureRandom final : public Random {
 public:
  void Fill(MutableBytes out) override;
};

class SeededRandom final : public Random {
 public:
  explicit SeededRandom(uint64_t seed) : engine_(seed) {}
  void Fill(MutableBytes out) override {
    std::lock_guard lock(mutex_);
    for (std::byte& b : out) b = static_cast<std::byte>(engine_());
  }

 private:
  std::mutex mutex_;
  std::mt19937_64 engine_;
};

}  // namespace quantfleet
