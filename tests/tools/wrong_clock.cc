// For LD_PRELOAD: the wall clock of a program is WRONG_CLOCK_SECONDS ahead (or, negative, behind).
// What is measured in the kernel and by the monotonic clock stays as it is.
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <cstdlib>

namespace {

time_t Ahead() {
  static const time_t ahead = [] {
    const char* text = std::getenv("WRONG_CLOCK_SECONDS");
    return text ? static_cast<time_t>(std::atoll(text)) : 0;
  }();
  return ahead;
}

}  // namespace

extern "C" int clock_gettime(clockid_t id, struct timespec* time) noexcept {
  const long result = ::syscall(SYS_clock_gettime, id, time);
  if (result == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) time->tv_sec += Ahead();
  return static_cast<int>(result);
}

extern "C" int gettimeofday(struct timeval* time, void*) noexcept {
  struct timespec now;
  if (clock_gettime(CLOCK_REALTIME, &now) != 0) return -1;
  *time = {now.tv_sec, static_cast<suseconds_t>(now.tv_nsec / 1000)};
  return 0;
}

extern "C" time_t time(time_t* out) noexcept {
  struct timespec now;
  if (clock_gettime(CLOCK_REALTIME, &now) != 0) return -1;
  if (out) *out = now.tv_sec;
  return now.tv_sec;
}
