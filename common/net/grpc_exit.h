// gRPC's threads outlive main: its last object ends them in the background, and a process that
// exits early never waits for them. Neither they nor what OpenSSL keeps for them may be pulled away
// meanwhile.
#pragma once

namespace quantfleet::net {

// Makes the process wait for gRPC's threads when it exits, as far as gRPC is idle by then. Called
// by whoever makes a channel or a server, after making it; more calls change nothing. Thread-safe.
void AwaitGrpcAtExit();

}  // namespace quantfleet::net
