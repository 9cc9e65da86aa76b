#include "pipeline/stage/folder_sink.h"

#include <algorithm>
#include <set>

#include "pipeline/artifact/manifest.h"
#include "pipeline/stage/plan_text.h"

namespace quantfleet::pipeline {
namespace {

constexpr std::string_view kJournalFile = ".quantize.journal";

}  // namespace

FolderSink::FolderSink(FileSystem& files, fs::path out, const Plan& plan, FolderOptions options)
    : files_(files),
      out_(std::move(out)),
      plan_(plan),
      options_(std::move(options)),
      open_(plan.targets.size()) {}

absl::StatusOr<std::unique_ptr<FolderSink>> FolderSink::Open(FileSystem& files, fs::path out,
                                                             const Plan& plan,
                                                             FolderOptions options) {
  if (out.empty()) return InvalidArgument("no folder given for the artifacts");
  std::set<std::string> names;
  for (const TargetPlan& target : plan.targets)
    if (!names.insert(target.spec.name()).second)
      return InvalidArgument(
          "two targets that differ only in their rounding would both be {}: make them in two "
          "folders",
          (out / target.spec.name()).string());
  std::unique_ptr<FolderSink> sink(new FolderSink(files, std::move(out), plan, std::move(options)));
  QF_RETURN_IF_ERROR(sink->Prepare());
  return sink;
}

FolderSink::~FolderSink() {
  open_.clear();
  if (keep_) return;
  if (ours_) {  // else the partial folders are somebody else's
    for (size_t t = 0; t < plan_.targets.size(); ++t)
      files_.RemoveTree(Hidden(t, "partial")).IgnoreError();
    if (journal_) files_.Remove(out_ / kJournalFile).IgnoreError();
  }
  if (made_out_)
    if (auto left = files_.List(out_); left.ok() && left->empty())
      files_.RemoveTree(out_).IgnoreError();
}

fs::path FolderSink::FolderOf(size_t target) const {
  return out_ / plan_.targets[target].spec.name();
}

fs::path FolderSink::Hidden(size_t target, std::string_view suffix) const {
  return out_ / fmt::format(".{}.{}", plan_.targets[target].spec.name(), suffix);
}

absl::Status FolderSink::Prepare() {
  made_out_ = !files_.Exists(out_);
  QF_RETURN_IF_ERROR(files_.MakeFolder(out_));
  QF_RETURN_IF_ERROR(Lock());
  QF_RETURN_IF_ERROR(OpenJournal());
  for (size_t t = 0; t < plan_.targets.size(); ++t) QF_RETURN_IF_ERROR(MakeRoom(t));
  QF_RETURN_IF_ERROR(CheckSpace());
  for (size_t t = 0; t < plan_.targets.size(); ++t) QF_RETURN_IF_ERROR(OpenTarget(t));
  return absl::OkStatus();
}

// One writer per output folder: another one would throw away the partial folders of the first. The
// lock lies on the folder itself, so it leaves nothing behind.
absl::Status FolderSink::Lock() {
  auto lock = files_.Lock(out_);
  // A file system without locks is used without.
  if (!lock.ok() && !absl::IsUnimplemented(lock.status())) return lock.status();
  if (lock.ok() && *lock == nullptr)
    return FailedPrecondition(
        "another process is writing artifacts into {}: wait for it or choose another folder",
        out_.string());
  if (lock.ok()) lock_ = *std::move(lock);
  ours_ = true;
  return absl::OkStatus();
}

absl::Status FolderSink::OpenJournal() {
  Sha256 run;
  run.Update(PlanDigest(plan_).span());
  run.Update(AsBytes(options_.fingerprint));
  const auto read = [this](size_t target, const PlannedChunk& chunk, MutableBytes out) {
    return open_[target][chunk.file]->ReadAt(chunk.offset, out);
  };
  QF_ASSIGN_OR_RETURN(journal_, FolderJournal::Open(files_, out_ / kJournalFile, run.Finish(),
                                                    options_.resume, plan_, read));
  keep_ = journal_->loaded() > 0;  // a run that fails again has not lost what was done
  return absl::OkStatus();
}

// Clears what an earlier run has left, or takes it up.
absl::Status FolderSink::MakeRoom(size_t target) {
  const fs::path shown = FolderOf(target), partial = Hidden(target, "partial");
  if (journal_->loaded() > 0) {
    // The same run was killed while it showed its folders, one after the other: back to the others.
    if (!files_.Exists(partial) && files_.Exists(shown)) return files_.Rename(shown, partial);
  } else {
    QF_RETURN_IF_ERROR(files_.RemoveTree(partial));
  }
  if (!options_.replace && files_.Exists(shown))
    return AlreadyExists("{} already exists{}: use --force to replace it", shown.string(),
                         options_.resume ? ", and no interrupted run is left to resume" : "");
  return absl::OkStatus();
}

absl::Status FolderSink::CheckSpace() {
  uint64_t needed = 0;
  for (const TargetPlan& target : plan_.targets) needed += TargetBytes(target);
  needed -= std::min(needed, journal_->loaded_bytes());
  QF_ASSIGN_OR_RETURN(const uint64_t free, files_.FreeSpace(out_));
  if (free >= needed) return absl::OkStatus();
  return ResourceExhausted(
      "{}: the artifacts need {}, but the disk has only {} free: free some space or choose another "
      "folder",
      out_.string(), HumanBytes(needed), HumanBytes(free));
}

absl::Status FolderSink::OpenTarget(size_t target) {
  const fs::path folder = Hidden(target, "partial");
  QF_RETURN_IF_ERROR(files_.CreateDirectories(folder));
  for (const OutputFile& output : plan_.targets[target].layout.files) {
    const fs::path path = folder / output.path;
    QF_RETURN_IF_ERROR(files_.CreateDirectories(path.parent_path()));
    QF_ASSIGN_OR_RETURN(auto file, files_.Open(path, OpenMode::kCreate));
    QF_RETURN_IF_ERROR(file->Resize(output.size));
    open_[target].push_back(std::move(file));
  }
  return absl::OkStatus();
}

absl::Status FolderSink::Store(size_t target, const PlannedChunk& chunk, const Digest&,
                               ByteSpan plain, int) {
  return open_[target][chunk.file]->WriteAt(chunk.offset, plain);
}

absl::Status FolderSink::Finish(const std::vector<v1::Manifest>& manifests) {
  if (manifests.size() != plan_.targets.size())
    return Internal("one manifest per target is required");
  for (size_t t = 0; t < plan_.targets.size(); ++t) QF_RETURN_IF_ERROR(SyncTarget(t, manifests[t]));
  // If the power fails while the folders are being renamed, a later run continues: it needs the
  // journal.
  QF_RETURN_IF_ERROR(journal_->Sync());
  QF_RETURN_IF_ERROR(files_.SyncDirectory(out_));
  for (size_t t = 0; t < plan_.targets.size(); ++t) QF_RETURN_IF_ERROR(Show(t));
  QF_RETURN_IF_ERROR(files_.SyncDirectory(out_));
  QF_RETURN_IF_ERROR(files_.Remove(out_ / kJournalFile));
  QF_RETURN_IF_ERROR(files_.SyncDirectory(out_));
  keep_ = false;
  return absl::OkStatus();
}

absl::Status FolderSink::SyncTarget(size_t target, const v1::Manifest& manifest) {
  const fs::path folder = Hidden(target, "partial");
  std::set<fs::path> folders{folder};
  for (size_t f = 0; f < open_[target].size(); ++f) {
    QF_RETURN_IF_ERROR(open_[target][f]->Sync());
    const OutputFile& output = plan_.targets[target].layout.files[f];
    open_[target][f]->DropCache(0, output.size);
    for (fs::path parent = fs::path(output.path).parent_path(); !parent.empty();
         parent = parent.parent_path())
      folders.insert(folder / parent);
  }
  open_[target].clear();
  QF_RETURN_IF_ERROR(
      files_.WriteAtomically(folder / kManifestFile, AsBytes(SerializeManifest(manifest))));
  for (const fs::path& each : folders) QF_RETURN_IF_ERROR(files_.SyncDirectory(each));
  return absl::OkStatus();
}

absl::Status FolderSink::Show(size_t target) {
  const fs::path shown = FolderOf(target), old = Hidden(target, "old");
  QF_RETURN_IF_ERROR(files_.RemoveTree(old));
  const bool replaces = files_.Exists(shown);
  if (replaces && !options_.replace)
    return AlreadyExists("{} has appeared in the meantime: use --force to replace it",
                         shown.string());
  if (replaces) QF_RETURN_IF_ERROR(files_.Rename(shown, old));
  if (absl::Status status = files_.Rename(Hidden(target, "partial"), shown); !status.ok()) {
    if (replaces) files_.Rename(old, shown).IgnoreError();
    return status;
  }
  if (!replaces) return absl::OkStatus();
  // The new one stands there for good before the old one goes.
  QF_RETURN_IF_ERROR(files_.SyncDirectory(out_));
  return files_.RemoveTree(old);
}

}  // namespace quantfleet::pipeline
