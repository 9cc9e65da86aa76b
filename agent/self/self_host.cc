#include "agent/self/self_host.h"

#include "common/base/fail_point.h"
#include "pipeline/artifact/kind.h"
#include "pipeline/artifact/manifest.h"
#include "pipeline/artifact/program/agent_program.h"
#include "pipeline/artifact/program/agent_release.h"

namespace quantfleet::agent {
namespace {

bool IsOwn(const std::string& model) {
  return pipeline::KindOfModel(model) == pipeline::ArtifactKind::kProgram;
}

// Whatever went wrong here, the release was not activated.
Verdict NotActivated(const absl::Status& why) { return {Reason::kHealthFailed, Message(why)}; }

std::optional<Digest> ReleaseAt(FileSystem& files, const fs::path& self,
                                const fs::path& self_folder) {
  const Slots slots(files, self_folder);
  for (const Slot slot : {Slot::kA, Slot::kB}) {
    std::error_code error;
    if (self == fs::weakly_canonical(slots.FilesOf(slot) / pipeline::kAgentFile, error))
      return slots.Begun(slot);
  }
  return std::nullopt;
}

}  // namespace

SelfHost::SelfHost(Options options, World world)
    : options_(std::move(options)),
      world_(std::move(world)),
      folder_(SelfFolder(options_.state)),
      own_(ReleaseAt(world_.files, options_.self, folder_)) {}

Tried<Health> SelfHost::Start(const std::string& model, const Installed& installed,
                              const HealthGate& gate, std::stop_token stop) {
  if (!IsOwn(model)) return world_.models.Start(model, installed, gate, stop);
  const auto version = pipeline::AgentVersionOf(installed.manifest);
  if (!version.ok()) return NotActivated(version.status());
  const Digest manifest = pipeline::ManifestDigest(installed.manifest);
  std::error_code error;
  const fs::path program = fs::canonical(installed.files / pipeline::kAgentFile, error);
  if (error)
    return NotActivated(
        ErrnoStatus(error.value(), (installed.files / pipeline::kAgentFile).string()));
  return own_ == manifest ? ProveSelf(manifest, stop) : Become(manifest, program, *version, stop);
}

Verdict SelfHost::CheckInstalled(const LaunchRecord& record, const std::string& version) const {
  std::string installed = options_.version;
  if (IsInSlot(options_.self, folder_)) {
    const auto program = pipeline::ReadAgentProgram(world_.files, record.installed);
    installed = program.ok() ? program->version : "";
  }
  if (!IsNewer(installed, version)) return {};
  return Setback(
      Reason::kHealthFailed,
      "the installed agent is {}, which is newer than {}: release that version or a newer one",
      installed, version);
}

Tried<Health> SelfHost::Become(const Digest& manifest, const fs::path& program,
                               const std::string& version, std::stop_token stop) {
  auto record = LoadLaunchRecord(world_.files, folder_);
  if (!record.ok()) record = LaunchRecord{};  // damaged: written anew
  if (!IsInSlot(options_.self, folder_)) record->installed = options_.self;
  if (record->given_up == manifest) {
    // Reported once: another release of the same program is tried again.
    record->given_up.reset();
    const uint32_t starts = record->given_up_after > 0 ? record->given_up_after : kMaxStarts;
    if (const absl::Status saved = SaveLaunchRecord(world_.files, folder_, *record); !saved.ok())
      return NotActivated(saved);
    return Setback(
        Reason::kHealthFailed,
        "quantfleet-agent {} was started {} times and never reached the daemon: giving up on it",
        version, starts);
  }
  QF_RETURN_IF_SETBACK(CheckInstalled(*record, version));
  std::error_code error;
  fs::permissions(program, fs::perms::owner_exec | fs::perms::group_exec, fs::perm_options::add,
                  error);
  if (error)
    return NotActivated(ErrnoStatus(error.value(), "making " + program.string() + " executable"));
  FailPoint("self-update-before-trial");
  QF_RETURN_IF_SETBACK(world_.trial(program, manifest, version, stop));
  FailPoint("self-update-after-trial");
  if (record->proven && record->program != manifest) record->previous = record->program;
  record->program = manifest;
  record->proven = false;
  record->attempts = 0;
  record->given_up.reset();
  if (const absl::Status saved = SaveLaunchRecord(world_.files, folder_, *record); !saved.ok())
    return NotActivated(saved);
  FailPoint("self-update-recorded");
  Restart();
  std::unique_lock lock(mutex_);
  wake_.wait(lock, stop, [] { return false; });
  return Setback(Reason::kInterrupted, "this process ends, quantfleet-agent {} takes over",
                 version);
}

Tried<Health> SelfHost::ProveSelf(const Digest& manifest, std::stop_token stop) {
  auto record = LoadLaunchRecord(world_.files, folder_);
  if (!record.ok()) return NotActivated(record.status());
  if (record->program == manifest && record->proven) return Health();
  FailPoint("self-update-begun");
  {
    std::unique_lock lock(mutex_);
    if (!wake_.wait(lock, stop, [this] { return checked_in_; }))
      return Setback(Reason::kInterrupted, "stopped before the daemon had answered");
  }
  FailPoint("self-update-checked-in");
  record->program = manifest;
  record->proven = true;
  record->attempts = 0;
  if (const absl::Status saved = SaveLaunchRecord(world_.files, folder_, *record); !saved.ok())
    return NotActivated(saved);
  FailPoint("self-update-proven");
  return Health();
}

uint64_t SelfHost::MemoryFor(const std::string& model) const {
  return IsOwn(model) ? 0 : world_.models.MemoryFor(model);
}

void SelfHost::Stop(const std::string& model) {
  if (!IsOwn(model)) return world_.models.Stop(model);
  const auto record = LoadLaunchRecord(world_.files, folder_);
  if (!record.ok() || !record->program) return;
  LaunchRecord none;
  none.installed = record->installed;
  // If the disk refuses this: its slots are removed next, and what is not there is not started.
  SaveLaunchRecord(world_.files, folder_, none).IgnoreError();
  if (IsInSlot(options_.self, folder_)) Restart();
}

Verdict SelfHost::StillHealthy(const std::string& model, const HealthGate& gate,
                               std::stop_token stop) const {
  return IsOwn(model) ? Verdict() : world_.models.StillHealthy(model, gate, stop);
}

Verdict SelfHost::Condition(const std::string& model) const {
  return IsOwn(model) ? Verdict() : world_.models.Condition(model);
}

std::string SelfHost::endpoint(const std::string& model) const {
  return IsOwn(model) ? "" : world_.models.endpoint(model);
}

void SelfHost::Lives() {
  auto record = LoadLaunchRecord(world_.files, folder_);
  if (!record.ok() || record->program != own_ || !record->proven || record->attempts == 0) return;
  record->attempts = 0;
  // Where the disk refuses, the next start may say so.
  SaveLaunchRecord(world_.files, folder_, *record).IgnoreError();
}

void SelfHost::CheckedIn() {
  std::lock_guard lock(mutex_);
  checked_in_ = true;
  wake_.notify_all();
}

void SelfHost::Restart() {
  {
    std::lock_guard lock(mutex_);
    restarts_ = true;
  }
  world_.on_restart();
}

bool SelfHost::restarts() const {
  std::lock_guard lock(mutex_);
  return restarts_;
}

std::string SelfHost::slot() const {
  if (!IsInSlot(options_.self, folder_)) return "";
  return options_.self.parent_path()
      .parent_path()
      .filename()
      .string();  // .../slots/a/files/quantfleet-agent
}

}  // namespace quantfleet::agent
