// Named places where a test stops a real process as a power cut would: before and after each
// durable step.
//
// QUANTFLEET_FAIL_POINT="name" or "name:N" makes the process kill itself with SIGKILL when it
// reaches the point for the first or the N-th time. Without the variable a point costs one load.
// Thread-safe.
#pragma once

namespace quantfleet {

void FailPoint(const char* name);

}  // namespace quantfleet
