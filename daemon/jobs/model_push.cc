// How a pushed model comes in: its files piece by piece, then all of them as a version.
#include <algorithm>
#include <limits>
#include <optional>
#include <set>

#include "common/base/fail_point.h"
#include "daemon/jobs/model_place.h"
#include "daemon/jobs/model_registry.h"

namespace quantfleet::daemon {
namespace {

// In the order of their paths.
std::vector<PushedFile> Sorted(std::vector<PushedFile> files) {
  std::ranges::sort(files, {}, &PushedFile::path);
  return files;
}

// The one of the same name and files; null: there is none. `files` are sorted.
const PushRecord* FindSame(const std::vector<PushRecord>& pushes, std::string_view name,
                           const std::vector<PushedFile>& files) {
  const auto equal = [](const PushedFile& a, const PushedFile& b) {
    return a.path == b.path && a.size == b.size && a.sha256 == b.sha256;
  };
  const auto found = std::ranges::find_if(pushes, [&](const PushRecord& push) {
    return push.model == name && std::ranges::equal(push.files, files, equal);
  });
  return found == pushes.end() ? nullptr : &*found;
}

// What the push announced, and CheckDigests has seen to be true.
void AddDigests(const PushRecord& push, v1::Model& model) {
  for (v1::ModelFile& entry : *model.mutable_files()) {
    const auto file = std::ranges::find(push.files, entry.path(), &PushedFile::path);
    if (file != push.files.end()) entry.set_sha256(file->sha256.raw());
  }
  model.set_files_digest(FilesDigest(model).raw());
}

}  // namespace

// Writers of one push take turns.
struct ModelRegistry::Push {
  explicit Push(PushRecord the_record) : record(std::move(the_record)) {}
  const PushRecord record;
  std::mutex mutex;
  std::map<std::string, std::unique_ptr<File>> open;  // guarded by mutex
};

absl::StatusOr<std::map<std::string, fs::path>> ModelRegistry::KnownFiles(
    const std::vector<PushedFile>& files) {
  QF_ASSIGN_OR_RETURN(const std::vector<v1::Model> models,
                      store_.Read([](const Transaction& tx) { return tx.models().List(); }));
  std::map<std::pair<std::string, uint64_t>, fs::path> known;
  for (const v1::Model& model : models)
    if (const fs::path place = PlaceOf(model.path()); IsPushed(data_, place))
      for (const v1::ModelFile& file : model.files())
        known.emplace(std::pair(file.sha256(), file.size()), place / file.path());
  std::map<std::string, fs::path> places;
  for (const PushedFile& file : files) {
    const auto found = known.find({file.sha256.raw(), file.size});
    if (found != known.end() && files_.Exists(found->second))
      places.emplace(file.path, found->second);
  }
  return places;
}

// Only when the push begins: a file that turns out to be damaged is thrown away and sent again.
absl::Status ModelRegistry::TakeKnownFiles(const PushRecord& push) {
  QF_ASSIGN_OR_RETURN(const auto known, KnownFiles(push.files));
  for (const auto& [path, place] : known) {
    const fs::path name = IncomingOf(push.id) / path;
    QF_RETURN_IF_ERROR(files_.MakeFolder(name.parent_path()));
    // Where the file system cannot, or the other version goes right now, the file is sent.
    files_.AddName(place, name).IgnoreError();
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<PushRecord>> ModelRegistry::OpenPushes(const Transaction& tx) {
  QF_ASSIGN_OR_RETURN(std::vector<PushRecord> pushes, tx.models().ListPushes());
  std::erase_if(pushes, [](const PushRecord& push) { return push.committed; });
  return pushes;
}

absl::StatusOr<PushRecord> ModelRegistry::FindOrCreatePush(std::string_view request_id,
                                                           std::string_view name,
                                                           std::vector<PushedFile> files) {
  files = Sorted(std::move(files));
  const Request request{"BeginPush", std::string(request_id)};
  // One at a time: none takes the room that another counted on.
  std::lock_guard lock(begin_mutex_);
  std::vector<PushRecord> open;
  std::optional<PushRecord> found;
  QF_RETURN_IF_ERROR(store_.Read([&](const Transaction& tx) -> absl::Status {
    QF_ASSIGN_OR_RETURN(const auto known, tx.requests().Find(request));
    if (known) {
      QF_ASSIGN_OR_RETURN(found, tx.models().GetPush(*known));
      return absl::OkStatus();
    }
    QF_ASSIGN_OR_RETURN(open, OpenPushes(tx));
    if (const PushRecord* same = FindSame(open, name, files)) found = *same;
    return absl::OkStatus();
  }));
  if (found) return *std::move(found);
  const PushRecord fresh{.id = random_.Id("p"),
                         .model = std::string(name),
                         .files = std::move(files),
                         .created_ms = ToUnixMillis(clock_.Now())};
  QF_RETURN_IF_ERROR(TakeKnownFiles(fresh));
  QF_ASSIGN_OR_RETURN(const PushProgress progress, ProgressOf(fresh));
  if (const absl::Status room = CheckRoom(open, Missing(progress)); !room.ok()) {
    files_.RemoveTree(IncomingOf(fresh.id)).IgnoreError();
    return room;
  }
  return store_.Write([&](Transaction& tx) { return tx.models().CreatePush(fresh, request); });
}

uint64_t ModelRegistry::Missing(const PushProgress& progress) {
  uint64_t missing = 0;  // at most the limit of a push
  for (const auto& entry : progress.files)
    missing += entry.file.size - std::min(entry.file.size, entry.received);
  return missing;
}

// What all open pushes may still write is promised to them.
absl::Status ModelRegistry::CheckRoom(const std::vector<PushRecord>& open, uint64_t missing) {
  if (open.size() >= limits_.max_open_pushes)
    return ResourceExhausted(
        "{} pushes are unfinished, which is the maximum: finish one of them (push its files again) "
        "or wait until one is a week old",
        open.size());
  uint64_t promised = 0;
  for (const PushRecord& push : open) {
    QF_ASSIGN_OR_RETURN(const PushProgress progress, ProgressOf(push));
    const auto sum = CheckedAdd(promised, Missing(progress));
    promised = sum.value_or(std::numeric_limits<uint64_t>::max());
  }
  return CheckSpace(missing, promised);
}

absl::StatusOr<ModelRegistry::PushProgress> ModelRegistry::BeginPush(
    std::string_view request_id, std::string_view name, const std::vector<PushedFile>& files) {
  QF_RETURN_IF_ERROR(CheckModelName(name));
  QF_RETURN_IF_ERROR(CheckPushedFiles(files, limits_.max_push_files, limits_.max_push_bytes));
  QF_ASSIGN_OR_RETURN(const PushRecord push, FindOrCreatePush(request_id, name, files));
  QF_ASSIGN_OR_RETURN(PushProgress progress, ProgressOf(push));
  if (!push.committed) QF_RETURN_IF_ERROR(CheckSpace(Missing(progress), 0));
  return progress;
}

absl::StatusOr<ModelRegistry::PushProgress> ModelRegistry::PlanPush(
    std::string_view name, const std::vector<PushedFile>& files) {
  QF_RETURN_IF_ERROR(CheckModelName(name));
  QF_RETURN_IF_ERROR(CheckPushedFiles(files, limits_.max_push_files, limits_.max_push_bytes));
  PushProgress progress;
  std::lock_guard lock(begin_mutex_);
  QF_ASSIGN_OR_RETURN(const std::vector<PushRecord> open, store_.Read(&OpenPushes));
  if (const PushRecord* same = FindSame(open, name, Sorted(files))) {
    QF_ASSIGN_OR_RETURN(progress, ProgressOf(*same));
    progress.push_id.clear();
    QF_RETURN_IF_ERROR(CheckSpace(Missing(progress), 0));
    return progress;
  }
  QF_ASSIGN_OR_RETURN(const auto known, KnownFiles(files));
  for (const PushedFile& file : files)
    progress.files.push_back({file, known.contains(file.path) ? file.size : 0});
  QF_RETURN_IF_ERROR(CheckRoom(open, Missing(progress)));
  return progress;
}

absl::StatusOr<ModelRegistry::PushProgress> ModelRegistry::ProgressOf(const PushRecord& record) {
  PushProgress progress{.push_id = record.id, .files = {}};
  // Moved into place already: everything is here.
  const bool complete = record.committed || files_.Exists(PublishedOf(record));
  for (const PushedFile& file : record.files) {
    uint64_t received = complete ? file.size : 0;
    const fs::path path = IncomingOf(record.id) / file.path;
    if (!complete && files_.Exists(path)) {
      QF_ASSIGN_OR_RETURN(const auto open, files_.Open(path, OpenMode::kRead));
      QF_ASSIGN_OR_RETURN(received, open->Size());
    }
    progress.files.push_back({file, received});
  }
  return progress;
}

absl::Status ModelRegistry::CheckSpace(uint64_t missing, uint64_t promised) {
  QF_RETURN_IF_ERROR(files_.MakeFolder(data_));
  QF_ASSIGN_OR_RETURN(const uint64_t space, files_.FreeSpace(data_));
  auto needed = CheckedAdd(missing, limits_.keep_free_bytes);
  if (needed) needed = CheckedAdd(*needed, promised);
  if (needed && *needed <= space) return absl::OkStatus();
  if (promised > 0)
    return ResourceExhausted(
        "the push needs {}, but {} has {} free, of which unfinished pushes need {}, and {} stay "
        "free: finish those pushes, or free some space and push again",
        HumanBytes(missing), data_.string(), HumanBytes(space), HumanBytes(promised),
        HumanBytes(limits_.keep_free_bytes));
  return ResourceExhausted(
      "the push needs {}, and {} of the disk must stay free, but {} has only {} free: free some "
      "space and push again",
      HumanBytes(missing), HumanBytes(limits_.keep_free_bytes), data_.string(), HumanBytes(space));
}

absl::StatusOr<std::shared_ptr<ModelRegistry::Push>> ModelRegistry::OpenPush(
    std::string_view push_id) {
  {
    std::lock_guard lock(mutex_);
    if (const auto at = pushes_.find(push_id); at != pushes_.end()) return at->second;
  }
  QF_ASSIGN_OR_RETURN(PushRecord record, store_.Read([&](const Transaction& tx) {
    return tx.models().GetPush(push_id);
  }));
  std::lock_guard lock(mutex_);
  const auto [at, added] = pushes_.try_emplace(std::string(push_id), nullptr);
  if (added) at->second = std::make_shared<Push>(std::move(record));
  return at->second;
}

absl::StatusOr<File*> ModelRegistry::OpenFile(Push& push, const PushedFile& file) {
  std::unique_ptr<File>& slot = push.open[file.path];
  if (slot == nullptr) {
    const fs::path path = IncomingOf(push.record.id) / file.path;
    QF_RETURN_IF_ERROR(files_.CreateDirectories(path.parent_path()));
    QF_ASSIGN_OR_RETURN(slot, files_.Open(path, OpenMode::kCreate));
  }
  return slot.get();
}

absl::Status ModelRegistry::WritePush(std::string_view push_id, std::string_view path,
                                      uint64_t offset, ByteSpan data) {
  if (data.size() > limits_.max_write_bytes)
    return InvalidArgument("a piece of a push has {1} bytes; the maximum is {0}",
                           limits_.max_write_bytes, data.size());
  QF_ASSIGN_OR_RETURN(const auto push, OpenPush(push_id));
  const auto& files = push->record.files;
  const auto file =
      std::find_if(files.begin(), files.end(), [&](const PushedFile& f) { return f.path == path; });
  if (file == files.end())
    return InvalidArgument("push {} has no file named \"{}\"", push_id, path);

  std::lock_guard lock(push->mutex);
  if (push->record.committed || files_.Exists(PublishedOf(push->record)))
    return FailedPrecondition("push {} is already complete: commit it", push_id);
  QF_ASSIGN_OR_RETURN(File* const out, OpenFile(*push, *file));
  QF_ASSIGN_OR_RETURN(const uint64_t size, out->Size());
  if (offset != size)
    return OutOfRange("\"{}\" has {} bytes so far: continue from there, not from {}", path, size,
                      offset);
  const auto end = CheckedAdd(offset, data.size());
  if (!end || *end > file->size)
    return InvalidArgument("\"{}\" was announced with {} bytes, and this data exceeds that", path,
                           file->size);
  const absl::Status written = out->WriteAt(offset, data);
  if (!written.ok()) {
    // Part of it may be there; what the size says must be what was sent.
    (void)out->Resize(size);
    return Annotate(written, fmt::format("push {}", push_id));
  }
  return absl::OkStatus();
}

absl::StatusOr<ModelRegistry::PushProgress> ModelRegistry::SyncPush(std::string_view push_id) {
  QF_ASSIGN_OR_RETURN(const auto push, OpenPush(push_id));
  std::lock_guard lock(push->mutex);
  for (const auto& [path, file] : push->open) QF_RETURN_IF_ERROR(file->Sync());
  push->open.clear();
  return ProgressOf(push->record);
}

absl::Status ModelRegistry::CheckDigests(Push& push) {
  Bytes buffer(1 << 20);
  for (const PushedFile& file : push.record.files) {
    QF_ASSIGN_OR_RETURN(File* const in, OpenFile(push, file));
    QF_ASSIGN_OR_RETURN(const uint64_t size, in->Size());
    if (size < file.size)
      return FailedPrecondition("\"{}\" is incomplete: {} of {} bytes", file.path, size, file.size);
    QF_RETURN_IF_ERROR(in->Sync());
    Sha256 hash;
    for (uint64_t at = 0; at < size; at += buffer.size()) {
      const MutableBytes part =
          MutableBytes(buffer).first(std::min<uint64_t>(buffer.size(), size - at));
      QF_RETURN_IF_ERROR(in->ReadAt(at, part));
      hash.Update(part);
    }
    in->DropCache(0, size);
    push.open.erase(file.path);
    if (size == file.size && hash.Finish() == file.sha256) continue;
    QF_RETURN_IF_ERROR(files_.Remove(IncomingOf(push.record.id) / file.path));
    return DataLoss("\"{}\" arrived with a different digest from the one announced: push it again",
                    file.path);
  }
  return absl::OkStatus();
}

absl::Status ModelRegistry::MoveIntoPlace(Push& push, const fs::path& to) {
  const fs::path from = IncomingOf(push.record.id);
  std::set<fs::path> folders = {from};
  for (const PushedFile& file : push.record.files)
    for (fs::path folder = fs::path(file.path).parent_path(); !folder.empty();
         folder = folder.parent_path())
      folders.insert(from / folder);
  for (const fs::path& folder : folders) QF_RETURN_IF_ERROR(files_.SyncDirectory(folder));
  QF_RETURN_IF_ERROR(files_.MakeFolder(to.parent_path()));
  FailPoint("push-before-rename");
  QF_RETURN_IF_ERROR(files_.Rename(from, to));
  QF_RETURN_IF_ERROR(files_.SyncDirectory(to.parent_path()));
  FailPoint("push-after-rename");
  return files_.SyncDirectory(data_);
}

absl::StatusOr<v1::Model> ModelRegistry::CommitPush(std::string_view push_id, std::string_view by) {
  QF_ASSIGN_OR_RETURN(const auto push, OpenPush(push_id));
  std::lock_guard lock(push->mutex);
  // Read again under the lock: another caller may have committed it.
  QF_ASSIGN_OR_RETURN(const PushRecord record, store_.Read([&](const Transaction& tx) {
    return tx.models().GetPush(push_id);
  }));
  if (record.committed) {
    QF_ASSIGN_OR_RETURN(v1::Model made, store_.Read([&](const Transaction& tx) {
      return record.version == 0 ? tx.models().Get(record.model)
                                 : tx.models().GetVersion(record.model, record.version);
    }));
    return Shown(std::move(made));
  }
  const fs::path published = PublishedOf(record);
  if (!files_.Exists(published)) {
    QF_RETURN_IF_ERROR(CheckDigests(*push));
    // A model that cannot be read is refused before it takes a place of its own.
    QF_ASSIGN_OR_RETURN(v1::Model model, Describe(record.model, IncomingOf(push_id)));
    AddDigests(record, model);
    const auto newest =
        store_.Read([&](const Transaction& tx) { return tx.models().Get(record.model); });
    const fs::path place = newest.ok() ? PlaceOf(newest->path()) : fs::path();
    if (newest.ok() && newest->files_digest() == model.files_digest() && IsPushed(data_, place)) {
      if (!HasAllFiles(*newest)) {
        QF_RETURN_IF_ERROR(files_.RemoveTree(place));  // what is left of it
        QF_RETURN_IF_ERROR(MoveIntoPlace(*push, place));
      }
      QF_RETURN_IF_ERROR(store_.Write(
          [&](Transaction& tx) { return tx.models().FinishPush(push_id, newest->version()); }));
      Forget(push_id);
      QF_RETURN_IF_ERROR(files_.RemoveTree(IncomingOf(push_id)));
      return Shown(*newest);
    }
    QF_RETURN_IF_ERROR(MoveIntoPlace(*push, published));
  }
  QF_ASSIGN_OR_RETURN(v1::Model model, Describe(record.model, published));
  AddDigests(record, model);
  model.set_created_by(std::string(by));
  model.set_path(RecordedPlace(data_, published));
  QF_ASSIGN_OR_RETURN(model, store_.Write([&](Transaction& tx) -> absl::StatusOr<v1::Model> {
    QF_ASSIGN_OR_RETURN(v1::Model version, tx.models().Put(model, {}));
    QF_RETURN_IF_ERROR(tx.models().FinishPush(push_id, version.version()));
    return version;
  }));
  FailPoint("push-after-record");
  Forget(push_id);
  QF_RETURN_IF_ERROR(SweepModels());
  return Shown(std::move(model));
}

void ModelRegistry::Forget(std::string_view push_id) {
  const std::lock_guard lock(mutex_);
  pushes_.erase(std::string(push_id));
}

}  // namespace quantfleet::daemon
