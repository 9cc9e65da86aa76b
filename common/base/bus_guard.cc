#include "common/base/bus_guard.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <mutex>
#include <utility>

namespace quantfleet {
namespace {

// All that the handler reads. `size` is set last and cleared first.
struct Range {
  std::atomic<bool> taken{false};
  std::atomic<uintptr_t> begin{0};
  std::atomic<size_t> size{0};
  std::atomic<bool> hit{false};
};
static_assert(std::atomic<uintptr_t>::is_always_lock_free);

std::array<Range, BusGuard::kMaxGuards> ranges;
struct sigaction before;

// mmap as the system call that it is: nothing that is interrupted can hold a lock that it needs,
// and no sanitizer stands before it, to whom zeros under a reader would be a race.
void OnBusError(int signal, siginfo_t* info, void*) {
  const auto at = reinterpret_cast<uintptr_t>(info->si_addr);
  for (Range& range : ranges) {
    const size_t size = range.size.load();
    const uintptr_t begin = range.begin.load();
    if (size == 0 || at < begin || at - begin >= size) continue;
    const long zeros = ::syscall(SYS_mmap, begin, size, PROT_READ,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
    if (zeros == -1) break;
    range.hit.store(true);
    return;  // and the read is tried again
  }
  // Not ours: the same read comes to the same end, under whoever was here before.
  ::sigaction(signal, &before, nullptr);
}

void SetHandler() {
  struct sigaction action = {};
  action.sa_sigaction = OnBusError;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  ::sigemptyset(&action.sa_mask);
  ::sigaction(SIGBUS, &action, &before);
}

}  // namespace

BusGuard::BusGuard(ByteSpan mapped) {
  static std::once_flag once;
  if (mapped.empty()) return;
  std::call_once(once, SetHandler);
  for (size_t i = 0; i < ranges.size(); ++i) {
    if (ranges[i].taken.exchange(true)) continue;
    ranges[i].hit.store(false);
    ranges[i].begin.store(reinterpret_cast<uintptr_t>(mapped.data()));
    ranges[i].size.store(mapped.size());
    slot_ = static_cast<int>(i);
    return;
  }
}

BusGuard::~BusGuard() {
  if (slot_ < 0) return;
  Range& range = ranges[static_cast<size_t>(slot_)];
  range.size.store(0);
  range.taken.store(false);
}

BusGuard& BusGuard::operator=(BusGuard&& other) noexcept {
  std::swap(slot_, other.slot_);
  return *this;
}

bool BusGuard::hit() const { return slot_ >= 0 && ranges[static_cast<size_t>(slot_)].hit.load(); }

}  // namespace quantfleet
