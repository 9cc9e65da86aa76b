// Threads that do a piece of work together: each takes tasks until none is left.
#pragma once

#include <functional>

namespace quantfleet::pipeline {

// As many as are asked for; 0: one per core.
int ThreadsWanted(int asked);

// Runs `work` in so many threads, of which this is one, and returns when all have returned. Where
// the system refuses a thread they are fewer. No exception may leave `work`.
void RunWorkers(int count, const std::function<void()>& work);

}  // namespace quantfleet::pipeline
