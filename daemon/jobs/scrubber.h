// The scrub: what the daemon keeps for others - the blobs of artifacts, the files of pushed models
// - is read at a bounded rate and compared with its digest, from time to time and by command.
//
// A damaged blob is removed, so that nobody is served it; artifacts that lack one are marked
// (ArtifactStore::MarkDamaged) until it is there again, and jobs are queued that make them again. A
// damaged file of a model is set aside (".damaged"). A disk that cannot be read is not damage. One
// thread, which also looks at what somebody failed to download. Order and cursor are by digest, so
// that a restart goes on where the last one stopped. Thread-safe; collaborators must outlive it.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "daemon/jobs/job_runner.h"
#include "daemon/store/feed.h"
#include "daemon/store/store.h"
#include "pipeline/artifact/blob_store.h"
#include "quantfleet/v1/operator.pb.h"

namespace quantfleet::daemon {

class Scrubber {
 public:
  struct Options {
    Duration every = std::chrono::hours(7 * 24);     // from end to start; zero: only by command
    uint64_t bytes_per_second = uint64_t{32} << 20;  // zero: as fast as the disk
    fs::path data = {};                              // the daemon's folder: pushed models lie in it
    std::function<void(std::string_view)> log = [](std::string_view) {};
    std::function<void(std::string_view)> warn = [](std::string_view) {};
    // For tests: waits so long, or until `stop`.
    std::function<void(Duration, const std::stop_token& stop)> pause = {};
  };
  struct Collaborators {
    Store& store;
    pipeline::BlobStore& blobs;
    FileSystem& files;
    JobRunner& jobs;
    const Clock& clock;
  };
  struct Counts {  // since the start; files of models count as blobs
    uint64_t checked = 0, damaged = 0, missing = 0;
  };

  Scrubber(Collaborators with, Options options);
  ~Scrubber();  // Stop()

  // Takes up what an earlier process left; then the thread starts.
  absl::Status Start();
  // At once, within what reading one blob takes. Idempotent.
  void Stop();

  // Begins a scrub, unless one is under way; returns that.
  v1::Scrub Begin();
  v1::Scrub Get() const;  // the one under way, or the last one
  [[nodiscard]] Subscription Watch(std::function<void(const v1::Scrub&)> on_scrub);

  // Somebody could not read the blob: it is looked at soon. False: it was lately, and no artifact
  // has it. Cheap, and whoever asks often is not looked at more often.
  bool Suspect(const Digest& blob);
  // Somebody got damaged data of this artifact: all of it is looked at, once in an hour.
  void SuspectArtifact(const std::string& artifact);

  Counts counts() const;

  // What the thread does when there is something to do, for tests. CANCELLED: `stop`.
  absl::Status Turn(const std::stop_token& stop);

 private:
  struct Blob {
    Digest digest;
    uint32_t size;  // plain
    auto operator<=>(const Blob&) const = default;
  };
  struct ModelFile {
    std::string cursor, what;  // what: for messages
    fs::path path;
    Digest sha256;
    uint64_t size;
  };

  void Work(const std::stop_token& stop);
  void WaitForWork(const std::stop_token& stop, bool failed);
  bool Due() const;
  absl::Status Pass(const std::stop_token& stop);
  absl::Status CheckSuspects(const std::stop_token& stop);
  absl::StatusOr<std::vector<Blob>> ListBlobs();
  absl::StatusOr<std::vector<ModelFile>> ListModelFiles();
  // `counts`: in the numbers of the scrub that is under way.
  void CheckBlob(const Blob& blob, bool counts);
  absl::Status CheckFile(const ModelFile& file, const std::stop_token& stop);
  // Marks what was found since the last call, and clears marks.
  absl::Status Settle();
  absl::Status Mark(const std::map<std::string, std::vector<Digest>>& lacking);
  void Repair(const std::vector<std::string>& artifacts);  // says so once in a scrub
  // Between two: shows and keeps how far it has come, lets time pass. CANCELLED: `stop`.
  absl::Status Next(const std::string& cursor, uint64_t bytes, const std::stop_token& stop);
  void Pace(uint64_t bytes, const std::stop_token& stop);
  absl::Status Keep();
  void Update(const std::function<void(v1::Scrub&)>& change);
  void Unread(const absl::Status& why);
  static absl::Status Stopped() { return Cancelled("the scrub was stopped"); }

  const Collaborators with_;
  const Options options_;

  // ---- the thread's
  struct Bad {
    bool missing = false, counts = false;
  };
  std::set<Digest> marked_;     // as of the last look at the database
  std::set<Digest> whole_;      // of those, what is there again
  std::map<Digest, Bad> bad_;   // not marked yet
  std::set<std::string> told_;  // artifacts of which was said how they are repaired
  Duration kept_{}, published_{}, looked_{-kLookEvery};  // Clock::Monotonic
  double owed_ms_ = 0;                                   // of waiting, for the rate

  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable_any wake_;
  v1::Scrub scrub_;
  bool asked_ = false;
  Counts counts_;
  std::set<Digest> suspects_;
  std::set<std::string> suspect_artifacts_;
  std::set<Digest> needless_;                  // suspects that no artifact has
  Duration needless_since_{};                  // the first of them was found to be so
  std::map<std::string, Duration> looked_at_;  // artifacts, when
  Feed<v1::Scrub> feed_;
  std::stop_source stop_;
  std::thread thread_;

  static constexpr Duration kLookEvery = std::chrono::seconds(30);
};

}  // namespace quantfleet::daemon
