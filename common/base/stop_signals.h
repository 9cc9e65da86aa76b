// The signals that ask a program to stop.
#pragma once

#include <signal.h>

namespace quantfleet {

// Blocks SIGINT and SIGTERM in this thread and in those that it creates from now on, so that one
// thread receives them with sigwait. A peer that is gone must not kill the process either, nor a
// file that has reached the limit of its size: SIGPIPE and SIGXFSZ are ignored.
sigset_t BlockStopSignals();

}  // namespace quantfleet
