// How a machine that is not enrolled becomes a device: what it was given, where to look for that,
// and retrying until the daemon has decided.
#pragma once

#include <functional>
#include <optional>
#include <stop_token>
#include <string>

#include "agent/agent.h"
#include "agent/identity/enrollment.h"
#include "agent/update/sleeper.h"

namespace quantfleet::agent {

// From options and the environment. What is empty here is looked for on the kernel's command line:
// quantfleet.server, quantfleet.token, quantfleet.ca.
struct Provisioning {
  std::string server, token, ca;          // host:port; the secret; hex SHA-256 of the daemon's CA
  fs::path token_file;                    // read when there is no token yet
  fs::path certificate, certificate_key;  // PEM: the device's own, of a CA that the daemon trusts
  fs::path command_line = "/proc/cmdline";
};

// The caller adds facts and version. NOT_FOUND: nothing was given; with a retry-after: the token's
// file is not there yet. INVALID_ARGUMENT: something is missing or malformed. FAILED_PRECONDITION:
// others may read the token's file or the certificate's key.
absl::StatusOr<EnrollmentRequest> ReadProvisioning(FileSystem& files, const Provisioning& given);

// The value of `key` on a kernel's command line: that of the last word that sets it, without
// quotes; empty: none.
std::string KernelParameter(std::string_view command_line, std::string_view key);

struct Patience {
  // Whether to keep trying after errors that waiting alone does not solve: a daemon that cannot be
  // reached, a token that was refused.
  bool stubborn = false;
  std::function<void(const absl::Status& why, Duration pause)> on_wait;
};
// Tries until it succeeds, fails for good, or is stopped (CANCELLED). After a refusal with a
// retry-after it tries again after that time, at most an hour, plus up to a tenth; it also waits
// for a daemon that goes away meanwhile.
absl::StatusOr<Enrollment> EnrollPatiently(
    const std::function<absl::StatusOr<Enrollment>()>& attempt, const Patience& patience,
    Random& random, Sleeper& sleeper, std::stop_token stop);

// One attempt with what was given: reads it, finds the facts, and asks the daemon. Takes the state
// folder's lock.
absl::StatusOr<Enrollment> EnrollAs(const AgentWorld& world, const fs::path& state,
                                    const v1::HardwareFacts& overrides, const Provisioning& given);

// Unattended first boot: enrolls when the state folder holds no identity. It keeps trying and reads
// what it was given anew each time, so that the token may be replaced by a better one. OK when
// enrolled, before or now.
absl::Status EnsureEnrolled(const AgentWorld& world, const fs::path& state,
                            const v1::HardwareFacts& overrides, const Provisioning& given,
                            Sleeper& sleeper, std::stop_token stop);

}  // namespace quantfleet::agent
