#include "pipeline/stage/workers.h"

#include <algorithm>
#include <system_error>
#include <thread>
#include <vector>

namespace quantfleet::pipeline {

int ThreadsWanted(int asked) {
  return std::max(asked > 0 ? asked : static_cast<int>(std::thread::hardware_concurrency()), 1);
}

void RunWorkers(int count, const std::function<void()>& work) {
  std::vector<std::jthread> threads;
  for (int i = 1; i < count; ++i) {
    try {
      threads.emplace_back(work);
    } catch (const std::system_error&) {
      break;  // fewer threads then: the result is the same
    }
  }
  work();
}

}  // namespace quantfleet::pipeline
