#include "agent/self/trial.h"

#include <unistd.h>

#include "agent/external/child_process.h"
#include "agent/identity/identity_store.h"
#include "agent/identity/trusted_clock.h"
#include "agent/update/assignment.h"
#include "agent/update/model_record.h"
#include "pipeline/artifact/program/agent_release.h"

namespace quantfleet::agent {
namespace {

constexpr Duration kFirstAgain = std::chrono::milliseconds(500),
                   kMaxAgain = std::chrono::seconds(5);

absl::Status ReadModels(FileSystem& files, const fs::path& state) {
  QF_ASSIGN_OR_RETURN(const std::vector<std::string> names, files.List(state / "models"));
  for (const std::string& name : names)
    QF_RETURN_IF_ERROR(LoadModelRecord(files, state / "models" / name).status());
  return absl::OkStatus();
}

absl::StatusOr<v1::DeviceArtifact> AskPatiently(const TrialWorld& world, DeviceApi& api,
                                                const v1::GetDeviceArtifactRequest& request) {
  const Duration end = world.clock.Monotonic() + kTrialPatience;
  Backoff backoff(world.random, kFirstAgain, kMaxAgain);
  for (;;) {
    auto artifact = api.GetArtifact(request);
    const auto code = artifact.status().code();
    if (code != absl::StatusCode::kUnavailable && code != absl::StatusCode::kDeadlineExceeded)
      return artifact;
    if (world.clock.Monotonic() >= end) return artifact;
    world.sleeper.Sleep(backoff.Next(), {});
  }
}

std::vector<std::string> EnvironmentOfTrial() {
  std::vector<std::string> variables;
  for (char** one = environ; *one; ++one)
    if (!std::string_view(*one).starts_with("QUANTFLEET_FAIL_POINT=")) variables.emplace_back(*one);
  return variables;
}

}  // namespace

absl::Status PassTrial(const TrialWorld& world, const fs::path& state, const Digest& manifest,
                       const std::string& version) {
  const IdentityStore store(world.files, state);
  QF_ASSIGN_OR_RETURN(const DeviceIdentity identity, store.Load());
  QF_RETURN_IF_ERROR(ReadModels(world.files, state));
  TrustedClock clock(world.clock);
  if (const auto known = store.LastKnownTime()) clock.RaiseFloor(*known);
  const net::ServerTrust trust{.ca_pem = identity.trust_root.ca_pem(),
                               .ca_fingerprint = {},
                               .time = [&clock] { return clock.ForValidity(); }};
  const auto api =
      world.connect(identity.server, trust, {identity.certificate_pem, identity.private_pem});
  v1::GetDeviceArtifactRequest request;
  request.set_manifest_digest(manifest.raw());
  QF_ASSIGN_OR_RETURN(const v1::DeviceArtifact artifact, AskPatiently(world, *api, request));
  QF_ASSIGN_OR_RETURN(const v1::Manifest read,
                      ReadArtifact(artifact, manifest, identity.trust_root));
  QF_ASSIGN_OR_RETURN(const std::string released, pipeline::AgentVersionOf(read));
  if (released == version) return absl::OkStatus();
  return FailedPrecondition("the release is {}, but this program is {}", released, version);
}

Verdict RunTrial(const fs::path& program, const fs::path& state, const Digest& manifest,
                 const std::string& version, std::stop_token stop) {
  std::string last;
  auto child = ChildProcess::Start(
      {.program = program,
       .args = {"trial", "--state", fs::absolute(state).string(), "--manifest", manifest.hex()},
       .env = EnvironmentOfTrial()},
      [&](std::string_view line) { last = line; });
  if (!child.ok()) return Setback(Reason::kHealthFailed, "trial: {}", Message(child.status()));
  switch ((*child)->Wait(kTrialTime, stop)) {
    case ChildProcess::Event::kStopped:
      return Setback(Reason::kInterrupted, "the trial of {} was interrupted", version);
    case ChildProcess::Event::kTimePassed:
      return Setback(Reason::kHealthFailed,
                     "the trial did not end within {} s; its last output: \"{}\"",
                     std::chrono::duration_cast<std::chrono::seconds>(kTrialTime).count(), last);
    case ChildProcess::Event::kEnded:
      break;
  }
  if ((*child)->ending() != "exit status 0")
    return Setback(Reason::kHealthFailed, "the trial ended with {}; its last output: \"{}\"",
                   (*child)->ending(), last);
  if (last != version)
    return Setback(Reason::kHealthFailed,
                   "in its trial the program printed \"{}\" instead of \"{}\"", last, version);
  return {};
}

}  // namespace quantfleet::agent
