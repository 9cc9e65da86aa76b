// How a machine that is not enrolled becomes a device: what it was given, where that is looked for,
// and asking until the daemon has decided.
#pragma once

#include <functional>
#include <optional>
#include <stop_token>
#include <string>

#include "agent/agent.h"
#include "agent/identity/enrollment.h"
#include "agent/update/sleeper.h"

namespace quantfleet::agent {

// As options and environment give it. What is empty here is looked for on the kernel's command
// line: quantfleet.server, quantfleet.token, quantfleet.ca.
struct Provisioning {
  std::string server, token, ca;          // host:port; the secret; hex SHA-256 of the daemon's CA
  fs::path token_file;                    // read when there is no token yet
  fs::path certificate, certificate_key;  // PEM: the device's own, of a CA that the daemon trusts
  fs::path command_line = "/proc/cmdline";
};

// Facts and version are the caller's to add. NOT_FOUND: nothing was given; with a retry-after: the
// token's file is not there yet. INVALID_ARGUMENT: something is missing, or no such thing.
// FAILED_PRECONDITION: others may read the token's file or the certificate's key.
absl::StatusOr<EnrollmentRequest> ReadProvisioning(FileSystem& files, const Provisioning& given);

// The words of a kernel's command line that set `key`: the last one's value, without its quotes;
// empty: none.
std::string KernelParameter(std::string_view command_line, std::string_view key);

struct Patience {
  // Whether to go on after what is no matter of waiting: a daemon that is away, a token that was
  // refused.
  bool stubborn = false;
  std::function<void(const absl::Status& why, Duration pause)> on_wait;
};
// Tries until it succeeds, fails for good, or `stop`: CANCELLED. A refusal with a retry-after is
// tried again after that long, an hour at most, and up to a tenth later; a daemon that goes away
// meanwhile is waited for too.
absl::StatusOr<Enrollment> EnrollPatiently(
    const std::function<absl::StatusOr<Enrollment>()>& attempt, const Patience& patience,
    Random& random, Sleeper& sleeper, std::stop_token stop);

// One attempt with what was given: reads it, finds the facts, asks the daemon. Takes the state
// folder's lock.
absl::StatusOr<Enrollment> EnrollAs(const AgentWorld& world, const fs::path& state,
                                    const v1::HardwareFacts& overrides, const Provisioning& given);

// First boot without hands: enrolls when the state folder holds no identity. Stubborn, and what it
// was given is read anew each time, so that a better token may be put in the old one's place. OK
// when enrolled, before or now.
absl::Status EnsureEnrolled(const AgentWorld& world, const fs::path& state,
                            const v1::HardwareFacts& overrides, const Provisioning& given,
                            Sleeper& sleeper, std::stop_token stop);

}  // namespace quantfleet::agent
