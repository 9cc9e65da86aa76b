// gRPC ends its threads in the background when its last object goes. A process that returns from main meanwhile cleans
// OpenSSL up under a handshake that is still under way.
#pragma once

namespace quantfleet::net {

// Makes the process wait for gRPC's threads when it exits. Called by whoever makes a channel or a server, after making
// it; more calls change nothing. Thread-safe.
void AwaitGrpcAtExit();

}  // namespace quantfleet::net
