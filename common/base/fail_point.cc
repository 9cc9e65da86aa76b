#include "common/base/fail_point.h"

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <string>

namespace quantfleet {
namespace {

struct Armed {
  std::string name;
  std::atomic<long> left{0};
  Armed() {
    const char* text = std::getenv("QUANTFLEET_FAIL_POINT");
    if (!text) return;
    name = text;
    left = 1;
    if (const size_t colon = name.find(':'); colon != std::string::npos) {
      left = std::atol(name.c_str() + colon + 1);
      name.resize(colon);
    }
  }
};

}  // namespace

void FailPoint(const char* name) {
  static Armed armed;
  if (armed.name.empty() || armed.name != name) return;
  if (armed.left.fetch_sub(1) == 1) std::raise(SIGKILL);
}

}  // namespace quantfleet
