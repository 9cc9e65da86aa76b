// Models come in by a path on this machine, or are pushed file by file, which resumes after any
// interruption.
//
//   DATA/incoming/<push id>/...     a push under way; a file's size says how much has arrived
//   DATA/models/<name>-<push id>/   a pushed model
//
// Other files under a name make its next version (the same files do not); what an earlier one has
// is not sent again. Records name a pushed model's folder relative to DATA (model_place.h); where
// it is gone, as after restoring a backup without it, pushing the same files puts them back. The
// folder of the former pushed version goes as soon as no unfinished job reads it; its record and
// its artifacts stay. The name quantfleet-agent is reserved for programs of the agent. Thread-safe;
// collaborators must outlive the registry.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/random.h"
#include "daemon/jobs/names.h"
#include "daemon/store/store.h"

namespace quantfleet::daemon {

// Over the model's files, which have their digests: the same for the same files, wherever they lie
// and however they came.
Digest FilesDigest(const v1::Model& model);

class ModelRegistry {
 public:
  struct Limits {
    uint64_t max_push_bytes = uint64_t{4} << 40;
    size_t max_push_files = 4096;
    size_t max_open_pushes = 64;
    Duration push_lifetime =
        std::chrono::hours(24 * 7);  // after this an unfinished push is removed
    size_t max_write_bytes = 1 << 20;
    uint64_t keep_free_bytes = 64 << 20;  // on the disk, besides what a push needs
  };

  ModelRegistry(Store& store, FileSystem& files, Random& random, const Clock& clock, fs::path data)
      : ModelRegistry(store, files, random, clock, std::move(data), Limits()) {}
  ModelRegistry(Store& store, FileSystem& files, Random& random, const Clock& clock, fs::path data,
                Limits limits);

  // Opens the model there (all its headers are checked), reads its files once for their digests and
  // records it, as of the operator `by`. The files stay where they are.
  absl::StatusOr<v1::Model> Import(std::string_view request_id, std::string_view name,
                                   const fs::path& path, std::string_view by = {});

  struct PushProgress {
    std::string push_id;
    struct Entry {
      PushedFile file;
      uint64_t received;  // durable; where to continue
    };
    std::vector<Entry> files;
  };
  // The same name and files as a push that is not finished: goes on with that one. Another one has
  // to find room beside what all unfinished ones may still write (RESOURCE_EXHAUSTED).
  absl::StatusOr<PushProgress> BeginPush(std::string_view request_id, std::string_view name,
                                         const std::vector<PushedFile>& files);
  // What BeginPush would answer, without a push id: nothing is created, and nothing promised.
  absl::StatusOr<PushProgress> PlanPush(std::string_view name,
                                        const std::vector<PushedFile>& files);
  // `offset` must be where the file ends now (OUT_OF_RANGE says where that is). Not durable until
  // SyncPush.
  absl::Status WritePush(std::string_view push_id, std::string_view path, uint64_t offset,
                         ByteSpan data);
  // Makes durable what has been written so far.
  absl::StatusOr<PushProgress> SyncPush(std::string_view push_id);
  // Checks every file's digest, opens the model, publishes a version as of the operator `by`: reads
  // everything once, so not on a thread that others wait for. Repeating it gives the same answer. A
  // file whose digest is wrong is removed and has to be sent again (DATA_LOSS names it).
  absl::StatusOr<v1::Model> CommitPush(std::string_view push_id, std::string_view by = {});

  // A recorded model as people see it: with the path at which its files are now, and a note if they
  // are gone.
  v1::Model Shown(v1::Model recorded) const;

  // Removes pushed folders that no model and no unfinished job needs, and pushes that were not
  // finished within a week. Call it at start; commits do so too.
  absl::Status Sweep();

 private:
  struct Push;  // one under way, with its open files
  absl::StatusOr<std::shared_ptr<Push>> OpenPush(std::string_view push_id);
  absl::StatusOr<PushRecord> FindOrCreatePush(std::string_view request_id, std::string_view name,
                                              std::vector<PushedFile> files);
  // The pushes that are not finished.
  static absl::StatusOr<std::vector<PushRecord>> OpenPushes(const Transaction& tx);
  absl::StatusOr<PushProgress> ProgressOf(const PushRecord& record);
  static uint64_t Missing(const PushProgress& progress);
  // For another push that lacks so many bytes.
  absl::Status CheckRoom(const std::vector<PushRecord>& open, uint64_t missing);
  // `promised`: bytes that others may still write.
  absl::Status CheckSpace(uint64_t missing, uint64_t promised);
  absl::StatusOr<File*> OpenFile(Push& push, const PushedFile& file);
  absl::Status CheckDigests(Push& push);
  absl::Status MoveIntoPlace(Push& push, const fs::path& to);
  // Without what only the push or the import knows: the files' digests, and whose it is.
  absl::StatusOr<v1::Model> Describe(std::string_view name, const fs::path& path);
  absl::StatusOr<v1::Model> DescribeAgents(const fs::path& path);
  absl::StatusOr<Digest> HashFile(const fs::path& path);
  // Where published versions have files of a push as well, by their paths in the push.
  absl::StatusOr<std::map<std::string, fs::path>> KnownFiles(const std::vector<PushedFile>& files);
  // Those are given a name in it.
  absl::Status TakeKnownFiles(const PushRecord& push);
  fs::path PlaceOf(std::string_view recorded) const;
  bool HasAllFiles(const v1::Model& recorded) const;
  void Forget(std::string_view push_id);
  absl::Status SweepModels();
  absl::Status SweepPushes();
  fs::path IncomingOf(std::string_view push_id) const;
  fs::path PublishedOf(const PushRecord& record) const;

  Store& store_;
  FileSystem& files_;
  Random& random_;
  const Clock& clock_;
  const fs::path data_;
  const Limits limits_;

  std::mutex begin_mutex_;  // one push is begun at a time
  std::mutex mutex_;        // guards pushes_; each Push has its own lock
  std::map<std::string, std::shared_ptr<Push>, std::less<>> pushes_;
};

}  // namespace quantfleet::daemon
