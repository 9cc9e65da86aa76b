// Keeps a process alive whose mapped file was cut short, or lies on a disk that cannot be read any
// more: reading such a page is a SIGBUS, on whichever thread happens to read it. Under a guard the
// whole range becomes zeros at that moment, every thread reads on, and the guard says that it was
// hit: what was computed from the range then counts for nothing.
//
// A signal handler for the process, set with the first guard; a SIGBUS anywhere else ends the
// process as ever. Of more than kMaxGuards at once the last are not guarded. Thread-safe.
#pragma once

#include "common/base/bytes.h"

namespace quantfleet {

class BusGuard {
 public:
  static constexpr size_t kMaxGuards = 64;

  BusGuard() = default;
  // `mapped`: whole pages of a file, mapped to be read; they stay mapped while the guard lives.
  explicit BusGuard(ByteSpan mapped);
  ~BusGuard();
  BusGuard(BusGuard&& other) noexcept : slot_(other.slot_) { other.slot_ = -1; }
  BusGuard& operator=(BusGuard&& other) noexcept;

  // The range holds zeros since a read of it failed.
  bool hit() const;

 private:
  int slot_ = -1;  // none
};

}  // namespace quantfleet
