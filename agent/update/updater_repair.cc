// What becomes of an artifact whose bytes on this disk are not those any more that were put there:
// it is looked for after each start of the agent, and damaged chunks alone are fetched again. What
// runs goes on meanwhile, and the status says so (kDamaged).

#include "agent/update/download_journal.h"
#include "agent/update/slot_check.h"
#include "agent/update/updater.h"
#include "common/base/fail_point.h"
#include "pipeline/artifact/kind.h"

namespace quantfleet::agent {
namespace {

constexpr int kMaxRepairRounds = 3;
constexpr uint64_t kMaxProgramBytes = uint64_t{1} << 30;

using Outcome = ModelRecord::Outcome;

std::vector<Digest> DigestsOf(const v1::Manifest& manifest) {
  std::vector<Digest> digests;
  for (const v1::ArtifactFile& file : manifest.files())
    for (const v1::Chunk& chunk : file.chunks())
      if (const auto digest = Digest::FromRaw(chunk.digest()); digest.ok())
        digests.push_back(*digest);
  return digests;
}

// A program that runs cannot be written; a copy in its place can.
absl::Status ReplaceByCopies(FileSystem& files, const fs::path& folder,
                             const v1::Manifest& manifest) {
  for (const v1::ArtifactFile& file : manifest.files()) {
    const fs::path path = folder / file.path();
    if (!files.Exists(path)) continue;
    std::error_code error;
    const fs::perms permissions = fs::status(path, error).permissions();
    QF_ASSIGN_OR_RETURN(const std::string content, files.ReadAll(path, kMaxProgramBytes));
    QF_RETURN_IF_ERROR(files.WriteAtomically(path, AsBytes(content)));
    fs::permissions(path, permissions, error);
    if (error) return ErrnoStatus(error.value(), path.string());
  }
  return absl::OkStatus();
}

}  // namespace

bool Updater::IsSmall(Slot slot) const {
  const auto manifest = slots_.ManifestOf(slot);
  return manifest.ok() && SizeOf(*manifest) <= kCheckBytesPerSecond;
}

Updater::Step Updater::BeforeProof() const {
  if (beyond_repair_ == record_.manifest) return Step::kProve;
  if (damage_ && damage_->artifact == record_.manifest) return Step::kRepair;
  return checked_ == record_.manifest ? Step::kProve : Step::kCheck;
}

Updater::Step Updater::Upkeep() const {
  const auto current = slots_.Current();
  if (!current || !running_ || slots_.Begun(*current) != running_ || beyond_repair_ == running_)
    return Step::kSettled;
  if (damage_ && damage_->artifact == running_) return Step::kRepair;
  return checked_ == running_ ? Step::kSettled : Step::kCheck;
}

Verdict Updater::LookForDamage(Slot slot, std::stop_token stop) {
  const auto manifest = slots_.ManifestOf(slot);
  const auto artifact = slots_.Begun(slot);
  if (!manifest.ok() || !artifact) return OfDisk(manifest.status());
  QF_TRY(const std::vector<uint32_t> chunks,
         FindDamage(environment_.files, slots_.FilesOf(slot), *manifest, environment_.clock,
                    environment_.sleeper, stop));
  checked_ = artifact;
  damage_.reset();
  if (chunks.empty()) return {};
  std::vector<Digest> digests = DigestsOf(*manifest);
  damage_ = Damage{*artifact, chunks.size(), digests.size()};
  // It stays a version to go back to: what answers with a flipped bit is better than nothing.
  QF_TRY_DISK(
      DownloadJournal journal,
      DownloadJournal::Open(environment_.files, slots_.JournalOf(slot), std::move(digests)));
  return OfDisk(journal.Forget(chunks));
}

void Updater::ShowDamage() {
  if (!before_damage_) before_damage_ = status();
  Show(v1::ModelStatus::DOWNLOADING, Reason::kDamaged,
       fmt::format("{} of {} chunks of {} are damaged on this disk and are fetched again{}",
                   damage_->chunks, damage_->of, damage_->artifact.hex().substr(0, 12),
                   running_ == damage_->artifact ? "; it answers meanwhile" : ""));
}

void Updater::GiveUpRepair() {
  if (const auto current = slots_.Current()) beyond_repair_ = slots_.Begun(*current);
}

Tried<Updater::Step> Updater::Check(std::stop_token stop) {
  const Slot slot = *slots_.Current();
  QF_RETURN_IF_SETBACK(LookForDamage(slot, stop));
  if (damage_) {
    ShowDamage();
    return NextStep();
  }
  QF_RETURN_IF_SETBACK(Reload(slot, stop));
  return NextStep();
}

Verdict Updater::Reload(Slot slot, std::stop_token stop) {
  if (!reload_ || running_ != slots_.Begun(slot)) return {};
  if (!TakeTurn(stop)) return Setback(Reason::kInterrupted, "stopped before its turn");
  const Verdict started = StartProven(slot, stop);
  if (started.Is(Reason::kInterrupted)) return started;
  reload_ = false;
  if (!started.ok()) {
    // NextStep proves it anew, or goes back.
    environment_.host.Stop(model_);
    running_.reset();
    return {};
  }
  ShowAsBefore("");
  return {};
}

void Updater::ShowAsBefore(const std::string& and_now) {
  if (!before_damage_) return;
  const v1::ModelStatus shown = *std::exchange(before_damage_, std::nullopt);
  if (and_now.empty() && record_.outcome == Outcome::kHealthy && running_ == record_.manifest)
    return Show(v1::ModelStatus::HEALTHY, {}, record_.detail);
  std::optional<Reason> reason = ReasonNamed(shown.reason());
  if (!reason && !and_now.empty()) reason = Reason::kDamaged;
  Show(shown.phase(), reason,
       shown.detail() + (shown.detail().empty() || and_now.empty() ? "" : "; ") + and_now);
}

Tried<Updater::Step> Updater::Repair(std::stop_token stop) {
  const Slot slot = *slots_.Current();
  const Digest artifact = damage_->artifact;
  ShowDamage();
  v1::GetDeviceArtifactRequest request;
  request.set_manifest_digest(artifact.raw());
  const absl::StatusOr<v1::DeviceArtifact> offered = environment_.get_artifact(request);
  if (!offered.ok()) {
    const Verdict why = OfDaemon(offered.status());
    // The daemon offers what it assigns, and that may be another artifact by now.
    const bool refused = why.Is(Reason::kDeviceRefused) && artifact != record_.manifest;
    if (Passes(why.reason()) && !refused) return why;
    GiveUpRepair();
    ShowAsBefore(fmt::format(
        "{} of {} chunks of what runs are damaged, and the daemon does not offer it any more: {}",
        damage_->chunks, damage_->of, why.detail()));
    return NextStep();
  }
  QF_TRY_DISK(const v1::Manifest manifest, slots_.ManifestOf(slot));
  if (const auto read = ReadArtifact(*offered, artifact, environment_.trust_root()); !read.ok())
    return Verdict(Reason::kVerifyFailed, Message(read.status()));
  if (pipeline::KindOfModel(model_) == pipeline::ArtifactKind::kProgram)
    QF_RETURN_IF_SETBACK(
        OfDisk(ReplaceByCopies(environment_.files, slots_.FilesOf(slot), manifest)));
  QF_TRY(Downloader downloader, OpenDownloader(slot, &*offered));
  for (int round = 0;; ++round) {
    QF_RETURN_IF_SETBACK(Pull(downloader, stop, [] {}));
    QF_TRY(const size_t still, downloader.Verify(stop));
    if (still == 0) break;
    if (round == kMaxRepairRounds)
      return Setback(Reason::kVerifyFailed, "chunks damaged on this disk: {}", still);
  }
  QF_RETURN_IF_SETBACK(OfDisk(slots_.MarkVerified(slot, artifact)));
  FailPoint("repair-verified");
  damage_.reset();
  checked_ = artifact;
  // What was read of it before is not to be trusted.
  reload_ = true;
  QF_RETURN_IF_SETBACK(Reload(slot, stop));
  return NextStep();
}

}  // namespace quantfleet::agent
