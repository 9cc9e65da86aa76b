#include "agent/provision.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cctype>
#include <mutex>

#include "agent/platform/hardware.h"
#include "agent/platform/state_lock.h"
#include "common/base/access.h"
#include "common/base/retry_after.h"
#include "engine/measure/kernel_benchmark.h"

namespace quantfleet::agent {
namespace {

constexpr uint64_t kMaxTokenFile = 4096, kMaxPem = 64 << 10;
constexpr size_t kMaxCommandLine = 64 << 10;
constexpr Duration kLookEvery = std::chrono::seconds(1);  // for a token's file
constexpr Duration kFirstAway = std::chrono::seconds(1), kMaxAway = std::chrono::minutes(1);
constexpr Duration kFirstRefused = std::chrono::seconds(5), kMaxRefused = std::chrono::minutes(30);
constexpr Duration kLeastPause = std::chrono::milliseconds(200), kMaxPause = std::chrono::hours(1);

std::string WithoutBlankEnds(std::string text) {
  const auto blank = [](char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; };
  while (!text.empty() && blank(text.back())) text.pop_back();
  text.erase(text.begin(), std::ranges::find_if_not(text, blank));
  return text;
}

// "" when there is no token at all.
absl::StatusOr<std::string> FindToken(FileSystem& files, const Provisioning& given,
                                      const std::string& command_line) {
  if (!given.token.empty()) return given.token;
  if (!given.token_file.empty() && files.Exists(given.token_file)) {
    QF_ASSIGN_OR_RETURN(std::string text, ReadPrivate(files, given.token_file, kMaxTokenFile));
    if (text = WithoutBlankEnds(std::move(text)); !text.empty()) return text;
  }
  std::string token = KernelParameter(command_line, "quantfleet.token");
  if (token.empty() && !given.token_file.empty())
    return WithRetryAfter(NotFound("{} does not contain a token yet", given.token_file.string()),
                          kLookEvery);
  return token;
}

bool Away(const absl::Status& status) {
  return status.code() == absl::StatusCode::kUnavailable ||
         status.code() == absl::StatusCode::kDeadlineExceeded;
}

}  // namespace

std::string KernelParameter(std::string_view command_line, std::string_view key) {
  std::string value, word;
  bool quoted = false;
  const auto take = [&] {
    const bool sets = word.size() > key.size() && word.starts_with(key) && word[key.size()] == '=';
    if (sets) value = word.substr(key.size() + 1);
    word.clear();
  };
  for (const char c : command_line) {
    if (c == '"')
      quoted = !quoted;
    else if (!quoted && std::isspace(static_cast<unsigned char>(c)))
      take();
    else
      word += c;
  }
  take();
  return value;
}

absl::StatusOr<EnrollmentRequest> ReadProvisioning(FileSystem& files, const Provisioning& given) {
  const std::string command_line =
      files.ReadStream(given.command_line, kMaxCommandLine).value_or("");
  const auto or_kernel = [&](const std::string& value, std::string_view key) {
    return value.empty() ? KernelParameter(command_line, key) : value;
  };
  EnrollmentRequest request;
  request.server = or_kernel(given.server, "quantfleet.server");
  const std::string ca = or_kernel(given.ca, "quantfleet.ca");
  QF_ASSIGN_OR_RETURN(request.token, FindToken(files, given, command_line));
  if (request.token.empty() && ca.empty()) {
    if (request.server.empty()) return NotFound("there is nothing to enroll with");
    return InvalidArgument(
        "no token: pass --token, --token-file or QUANTFLEET_TOKEN, as created by `quantfleet token "
        "create`, or, without a token, the daemon's CA with --ca (`quantfleet status` shows it)");
  }
  if (request.server.empty())
    return InvalidArgument(
        "the daemon's address is missing: pass --server HOST:PORT, QUANTFLEET_SERVER, or "
        "quantfleet.server= on the kernel's command line");
  if (!ca.empty()) {
    const auto digest = Digest::FromHexText(ca);
    if (!digest.ok())
      return InvalidArgument("--ca: {}; `quantfleet status` shows it", Message(digest.status()));
    request.ca = *digest;
  }
  if (given.certificate.empty() != given.certificate_key.empty())
    return InvalidArgument("--certificate and --key must be given together");
  if (!given.certificate.empty()) {
    QF_ASSIGN_OR_RETURN(request.certificate_pem, files.ReadAll(given.certificate, kMaxPem));
    QF_ASSIGN_OR_RETURN(request.certificate_key_pem,
                        ReadPrivate(files, given.certificate_key, kMaxPem));
  }
  return request;
}

absl::StatusOr<Enrollment> EnrollPatiently(
    const std::function<absl::StatusOr<Enrollment>()>& attempt, const Patience& patience,
    Random& random, Sleeper& sleeper, std::stop_token stop) {
  Backoff away(random, kFirstAway, kMaxAway), refused(random, kFirstRefused, kMaxRefused);
  bool waiting = false;  // the daemon said to wait; it may be restarted meanwhile
  while (!stop.stop_requested()) {
    auto enrollment = attempt();
    if (enrollment.ok() || stop.stop_requested()) return enrollment;
    const bool unreachable = Away(enrollment.status());
    Duration pause{0};
    if (const auto after = RetryAfter(enrollment.status())) {
      waiting = true;
      pause = std::clamp(*after, kLeastPause, kMaxPause);
      pause += Duration(
          static_cast<int64_t>(random.Next() % static_cast<uint64_t>(pause.count() / 10 + 1)));
      refused.Reset();
    } else if (patience.stubborn || (waiting && unreachable)) {
      pause = unreachable ? away.Next() : refused.Next();
    } else {
      return enrollment;
    }
    if (!unreachable) away.Reset();
    if (patience.on_wait) patience.on_wait(enrollment.status(), pause);
    if (!sleeper.Sleep(pause, stop)) break;
  }
  return Cancelled("the agent was stopped before it had enrolled");
}

absl::StatusOr<Enrollment> EnrollAs(const AgentWorld& world, const fs::path& state,
                                    const v1::HardwareFacts& overrides, const Provisioning& given) {
  QF_ASSIGN_OR_RETURN(EnrollmentRequest request, ReadProvisioning(world.files, given));
  QF_RETURN_IF_ERROR(world.files.MakeFolder(state));
  QF_RETURN_IF_ERROR(CheckUnshared(state));
  QF_ASSIGN_OR_RETURN(const StateLock lock, StateLock::Take(world.files, state));
  request.facts = FindFacts(
      world.files, *MakeHardware(world.files), [] { return engine::MeasureKernel(); }, state);
  request.agent_version = world.version;
  Override(overrides, &request.facts);
  QF_RETURN_IF_ERROR(SaveOverrides(world.files, state, overrides));
  TrustedClock clock(world.clock);
  return Enroll(IdentityStore(world.files, state), world.connect, clock, world.random, request);
}

absl::Status EnsureEnrolled(const AgentWorld& world, const fs::path& state,
                            const v1::HardwareFacts& overrides, const Provisioning& given,
                            Sleeper& sleeper, std::stop_token stop) {
  const absl::Status known = IdentityStore(world.files, state).Load().status();
  if (known.code() != absl::StatusCode::kNotFound) return known;  // enrolled, or damaged
  const absl::Status nothing = ReadProvisioning(world.files, given).status();
  if (nothing.code() == absl::StatusCode::kNotFound && !RetryAfter(nothing)) return known;

  // A call that is under way ends with `stop`.
  std::mutex mutex;
  std::shared_ptr<DeviceApi> line;
  AgentWorld stoppable = world;
  stoppable.connect = [&](const std::string& address, const net::ServerTrust& trust,
                          const net::ClientIdentity& client) {
    auto made = world.connect(address, trust, client);
    std::lock_guard lock(mutex);
    line = made;
    if (stop.stop_requested()) line->Cancel();
    return made;
  };
  const std::stop_callback end_call(stop, [&] {
    std::lock_guard lock(mutex);
    if (line) line->Cancel();
  });
  std::string said;
  const Patience patience{.stubborn = true, .on_wait = [&](const absl::Status& why, Duration) {
                            if (said != Message(why))
                              spdlog::warn("not enrolled: {}; trying again", Describe(why));
                            said = Message(why);
                          }};
  QF_ASSIGN_OR_RETURN(const Enrollment enrollment,
                      EnrollPatiently([&] { return EnrollAs(stoppable, state, overrides, given); },
                                      patience, world.random, sleeper, stop));
  spdlog::info("enrolled with {} as {}", enrollment.identity.server, enrollment.identity.device_id);
  return absl::OkStatus();
}

}  // namespace quantfleet::agent
