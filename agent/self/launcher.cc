#include "agent/self/launcher.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "agent/platform/state_lock.h"
#include "common/base/access.h"
#include "common/base/fail_point.h"
#include "pipeline/artifact/program/agent_release.h"
#include "pipeline/artifact/verify.h"

namespace quantfleet::agent {

LaunchRecord GiveUp(LaunchRecord record) {
  record.given_up = record.program;
  record.given_up_after = record.attempts;
  record.program = record.previous;
  record.previous.reset();
  record.proven = record.program.has_value();
  record.attempts = 0;
  return record;
}

bool IsNewer(std::string_view b, std::string_view a) {
  const auto newer = ParseVersion(b), older = ParseVersion(a);
  return newer && older && *newer > *older;
}

Launch Decide(LaunchRecord record, const LaunchFacts& facts) {
  if (!facts.in_slot) record.installed = facts.self;
  while (record.program) {
    const auto chosen = facts.find(*record.program);
    if (chosen && chosen->path == facts.self) return {std::nullopt, std::move(record)};
    if (!chosen) {
      // Its slot was taken for another, removed or damaged: nothing has failed.
      const auto given_up = record.given_up;
      const uint32_t after = record.given_up_after;
      record = GiveUp(std::move(record));
      record.given_up = given_up;
      record.given_up_after = after;
    } else if (record.attempts >= (record.proven ? kMaxProvenStarts : kMaxStarts)) {
      record = GiveUp(std::move(record));
    } else if (!facts.in_slot && IsNewer(facts.version, chosen->version)) {
      return {std::nullopt, std::move(record)};  // a package brought a newer one than the release
    } else {
      ++record.attempts;
      return {chosen->path, std::move(record)};
    }
  }
  if (!facts.in_slot || record.installed.empty()) return {std::nullopt, std::move(record)};
  const fs::path installed = record.installed;
  return {installed, std::move(record)};
}

std::optional<SlotProgram> FindProgram(FileSystem& files, const Slots& slots,
                                       const Digest& manifest) {
  for (const Slot slot : {Slot::kA, Slot::kB}) {
    if (slots.Verified(slot) != manifest) continue;
    const auto read = slots.ManifestOf(slot);
    if (!read.ok() || !pipeline::VerifyFolder(files, slots.FilesOf(slot), *read).ok()) continue;
    const auto version = pipeline::AgentVersionOf(*read);
    std::error_code error;
    const fs::path path = fs::canonical(slots.FilesOf(slot) / pipeline::kAgentFile, error);
    if (version.ok() && !error) return SlotProgram{path, *version};
  }
  return std::nullopt;
}

fs::path SelfPath() {
  std::error_code error;
  return fs::read_symlink("/proc/self/exe", error);
}

bool IsInSlot(const fs::path& self, const fs::path& self_folder) {
  std::error_code error;
  const fs::path slots = fs::weakly_canonical(self_folder / "slots", error);
  return !error && std::ranges::mismatch(slots, self).in1 == slots.end();
}

absl::Status BecomeCurrent(FileSystem& files, const fs::path& state, const std::string& version,
                           char** argv) {
  const fs::path folder = SelfFolder(state);
  if (!files.Exists(folder / "launch.json"))
    return absl::OkStatus();  // this device never updated its agent
  // Whoever may write there can have any program run.
  for (const fs::path& path : {state, folder, folder / "launch.json"})
    QF_RETURN_IF_ERROR(CheckUnshared(path));
  QF_ASSIGN_OR_RETURN(const auto lock, StateLock::TryTake(files, state));
  if (!lock) return absl::OkStatus();
  const Slots slots(files, folder);
  const fs::path self = SelfPath();
  const LaunchFacts facts{
      .self = self,
      .in_slot = IsInSlot(self, folder),
      .version = version,
      .find = [&](const Digest& manifest) { return FindProgram(files, slots, manifest); }};
  for (;;) {
    QF_ASSIGN_OR_RETURN(const LaunchRecord record, LoadLaunchRecord(files, folder));
    const Launch launch = Decide(record, facts);
    if (launch.record != record) {
      // A proven one starts from a disk that takes nothing, too.
      const absl::Status saved = SaveLaunchRecord(files, folder, launch.record);
      if (!launch.record.proven) QF_RETURN_IF_ERROR(saved);
    }
    if (!launch.program) return absl::OkStatus();
    FailPoint("self-update-counted");
    QF_RETURN_IF_ERROR(CheckUnshared(*launch.program));
    ::execv(launch.program->c_str(), argv);
    const absl::Status failed = ErrnoStatus(errno, "becoming " + launch.program->string());
    if (!launch.record.program) return failed;
    QF_RETURN_IF_ERROR(SaveLaunchRecord(files, folder, GiveUp(launch.record)));
  }
}

}  // namespace quantfleet::agent
