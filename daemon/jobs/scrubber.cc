#include "daemon/jobs/scrubber.h"

#include <algorithm>

#include "common/base/fail_point.h"
#include "daemon/jobs/manifests.h"
#include "daemon/jobs/model_place.h"
#include "daemon/store/artifact_name.h"
#include "daemon/store/stored_time.h"

namespace quantfleet::daemon {
namespace {

constexpr Duration kKeepEvery = std::chrono::seconds(10), kPublishEvery{200},
                   kRetryAfterError = std::chrono::seconds(60), kLookAgain = std::chrono::hours(1);
constexpr size_t kMaxSuspects = 4096, kMostTold = 100;
constexpr char kFiles[] = "models/";  // of cursors: behind all digests

}  // namespace

Scrubber::Scrubber(Collaborators with, Options options)
    : with_(with), options_(std::move(options)) {}

Scrubber::~Scrubber() { Stop(); }

absl::Status Scrubber::Start() {
  QF_ASSIGN_OR_RETURN(const auto last,
                      with_.store.Read([](const Transaction& tx) { return tx.scrubs().Get(); }));
  {
    const std::lock_guard lock(mutex_);
    if (last) scrub_ = *last;
  }
  stop_ = std::stop_source();
  thread_ = std::thread([this, stop = stop_.get_token()] { Work(stop); });
  return absl::OkStatus();
}

void Scrubber::Stop() {
  stop_.request_stop();
  if (thread_.joinable()) thread_.join();
}

void Scrubber::Work(const std::stop_token& stop) {
  std::string told;
  while (!stop.stop_requested()) {
    const absl::Status turned = Turn(stop);
    const std::string error = turned.ok() || absl::IsCancelled(turned) ? "" : Describe(turned);
    if (!error.empty() && error != told) options_.warn("scrub: " + error);
    told = error;
    WaitForWork(stop, !error.empty());
  }
}

void Scrubber::WaitForWork(const std::stop_token& stop, bool failed) {
  constexpr Duration kLookAtClock = std::chrono::minutes(10);
  std::unique_lock lock(mutex_);
  if (failed) {
    wake_.wait_for(lock, stop, kRetryAfterError, [] { return false; });
    return;
  }
  const auto suspects = [this] { return !suspects_.empty() || !suspect_artifacts_.empty(); };
  if (suspects())
    wake_.wait_for(lock, stop, looked_ + kLookEvery - with_.clock.Monotonic(),
                   [this] { return asked_; });
  else
    wake_.wait_for(lock, stop, kLookAtClock, [&] { return asked_ || suspects(); });
}

bool Scrubber::Due() const {
  const v1::Scrub last = Get();
  if (last.state() == v1::Scrub::RUNNING) return true;
  if (options_.every <= Duration::zero()) return false;
  const int64_t now = ToUnixMillis(with_.clock.Now());
  return last.state() != v1::Scrub::FINISHED || IsFuture(last.finished_ms(), now) ||
         now - last.finished_ms() >= options_.every.count();
}

absl::Status Scrubber::Turn(const std::stop_token& stop) {
  {
    const std::lock_guard lock(mutex_);
    asked_ = false;
  }
  QF_RETURN_IF_ERROR(CheckSuspects(stop));
  return Due() ? Pass(stop) : absl::OkStatus();
}

v1::Scrub Scrubber::Begin() {
  {
    const std::lock_guard lock(mutex_);
    if (scrub_.state() == v1::Scrub::RUNNING) return scrub_;
    scrub_.Clear();
    scrub_.set_state(v1::Scrub::RUNNING);
    scrub_.set_started_ms(ToUnixMillis(with_.clock.Now()));
    asked_ = true;
  }
  wake_.notify_all();
  return Get();
}

v1::Scrub Scrubber::Get() const {
  const std::lock_guard lock(mutex_);
  return scrub_;
}

Scrubber::Counts Scrubber::counts() const {
  const std::lock_guard lock(mutex_);
  return counts_;
}

Subscription Scrubber::Watch(std::function<void(const v1::Scrub&)> on_scrub) {
  return feed_.Subscribe(std::move(on_scrub));
}

bool Scrubber::Suspect(const Digest& blob) {
  {
    const std::lock_guard lock(mutex_);
    if (with_.clock.Monotonic() - needless_since_ >= kLookAgain) needless_.clear();
    if (needless_.contains(blob)) return false;
    if (suspects_.size() < kMaxSuspects) suspects_.insert(blob);
  }
  wake_.notify_all();
  return true;
}

void Scrubber::SuspectArtifact(const std::string& artifact) {
  {
    const std::lock_guard lock(mutex_);
    const Duration now = with_.clock.Monotonic();
    std::erase_if(looked_at_, [&](const auto& each) { return now - each.second >= kLookAgain; });
    if (looked_at_.size() >= kMaxSuspects || !looked_at_.emplace(artifact, now).second) return;
    suspect_artifacts_.insert(artifact);
  }
  wake_.notify_all();
}

void Scrubber::Update(const std::function<void(v1::Scrub&)>& change) {
  const std::lock_guard lock(mutex_);
  change(scrub_);
}

absl::Status Scrubber::Keep() {
  const v1::Scrub scrub = Get();
  kept_ = published_ = with_.clock.Monotonic();
  feed_.Publish(scrub);
  return with_.store.Write([&](Transaction& tx) { return tx.scrubs().Put(scrub); });
}

// ---- one scrub

absl::Status Scrubber::Pass(const std::stop_token& stop) {
  Update([&](v1::Scrub& scrub) {
    if (scrub.state() == v1::Scrub::RUNNING) return;
    scrub.Clear();
    scrub.set_state(v1::Scrub::RUNNING);
    scrub.set_started_ms(ToUnixMillis(with_.clock.Now()));
  });
  told_.clear();
  QF_ASSIGN_OR_RETURN(std::vector<Blob> blobs, ListBlobs());
  QF_ASSIGN_OR_RETURN(std::vector<ModelFile> files, ListModelFiles());
  const std::string cursor = Get().cursor();
  std::erase_if(blobs, [&](const Blob& blob) { return blob.digest.hex() <= cursor; });
  std::erase_if(files, [&](const ModelFile& file) { return file.cursor <= cursor; });
  Update([&](v1::Scrub& scrub) {
    scrub.set_blobs_total(scrub.blobs_checked() + scrub.blobs_unread() + blobs.size() +
                          files.size());
  });
  QF_RETURN_IF_ERROR(Keep());
  for (const Blob& blob : blobs) {
    if (stop.stop_requested()) break;
    const uint64_t before = Get().bytes_checked();
    CheckBlob(blob, /*counts=*/true);
    if (absl::IsCancelled(Next(blob.digest.hex(), Get().bytes_checked() - before, stop))) break;
  }
  for (const ModelFile& file : files) {
    if (stop.stop_requested() || absl::IsCancelled(CheckFile(file, stop)) ||
        absl::IsCancelled(Next(file.cursor, 0, stop)))
      break;
  }
  QF_RETURN_IF_ERROR(Settle());
  if (stop.stop_requested()) {
    QF_RETURN_IF_ERROR(Keep());
    return Stopped();
  }
  QF_ASSIGN_OR_RETURN(
      const std::vector<std::string> damaged,
      with_.store.Read([](const Transaction& tx) { return tx.artifacts().ListDamaged(); }));
  Repair(damaged);
  Update([&](v1::Scrub& scrub) {
    scrub.set_state(v1::Scrub::FINISHED);
    scrub.set_finished_ms(ToUnixMillis(with_.clock.Now()));
    scrub.clear_cursor();
    for (const std::string& name : damaged) scrub.add_affected(name);
  });
  const v1::Scrub done = Get();
  if (done.blobs_unread() > 0)
    options_.warn(fmt::format("scrub: blobs that could not be read: {}; the first: {}",
                              done.blobs_unread(), done.unread_error()));
  options_.log(fmt::format("scrub: checked {} in {} blobs; damaged: {}, missing: {}",
                           HumanBytes(done.bytes_checked()), done.blobs_checked(),
                           done.blobs_damaged(), done.blobs_missing()));
  return Keep();
}

absl::Status Scrubber::Next(const std::string& cursor, uint64_t bytes,
                            const std::stop_token& stop) {
  Update([&](v1::Scrub& scrub) { scrub.set_cursor(cursor); });
  FailPoint("scrub-checked");
  const Duration now = with_.clock.Monotonic();
  if (now - kept_ >= kKeepEvery) {
    // What cannot be written now is found again: the cursor stays behind.
    if (const absl::Status settled = Settle(); !settled.ok() || !Keep().ok()) kept_ = now;
  } else if (now - published_ >= kPublishEvery) {
    published_ = now;
    feed_.Publish(Get());
  }
  Pace(bytes, stop);
  if (stop.stop_requested()) return Stopped();
  return CheckSuspects(stop);
}

void Scrubber::Pace(uint64_t bytes, const std::stop_token& stop) {
  constexpr double kWorthWaiting = 10;  // milliseconds
  if (options_.bytes_per_second == 0) return;
  owed_ms_ += static_cast<double>(bytes) * 1000 / static_cast<double>(options_.bytes_per_second);
  if (owed_ms_ < kWorthWaiting) return;
  const Duration wait(static_cast<int64_t>(owed_ms_));
  owed_ms_ -= static_cast<double>(wait.count());
  if (options_.pause) return options_.pause(wait, stop);
  std::unique_lock lock(mutex_);
  wake_.wait_for(lock, stop, wait, [] { return false; });
}

absl::StatusOr<std::vector<Scrubber::Blob>> Scrubber::ListBlobs() {
  std::vector<Blob> blobs;
  std::map<std::string, std::vector<Digest>> damaged;
  QF_ASSIGN_OR_RETURN(const std::vector<Digest> marked, with_.store.Read([](const Transaction& tx) {
    return tx.artifacts().ListDamagedBlobs();
  }));
  marked_ = {marked.begin(), marked.end()};
  QF_RETURN_IF_ERROR(ForEachManifest(
      with_.store, [&](const std::string& name, const v1::Manifest* manifest) -> absl::Status {
        QF_ASSIGN_OR_RETURN(const Digest own, DigestOfArtifact(name));
        if (manifest == nullptr) {
          damaged[name] = {own};
          return absl::OkStatus();
        }
        if (marked_.contains(own)) whole_.insert(own);
        for (const v1::ArtifactFile& file : manifest->files())
          for (const v1::Chunk& chunk : file.chunks()) {
            QF_ASSIGN_OR_RETURN(const Digest digest, Digest::FromRaw(chunk.digest()));
            blobs.push_back({digest, chunk.size()});
          }
        return absl::OkStatus();
      }));
  QF_RETURN_IF_ERROR(Mark(damaged));
  std::ranges::sort(blobs);
  const auto repeated = std::ranges::unique(blobs, {}, &Blob::digest);
  blobs.erase(repeated.begin(), repeated.end());
  return blobs;
}

void Scrubber::Unread(const absl::Status& why) {
  Update([&](v1::Scrub& scrub) {
    if (scrub.blobs_unread() == 0) scrub.set_unread_error(Message(why));
    scrub.set_blobs_unread(scrub.blobs_unread() + 1);
  });
}

void Scrubber::CheckBlob(const Blob& blob, bool counts) {
  const auto checked = with_.blobs.Check(blob.digest, blob.size);
  if (!checked.ok()) {
    if (counts) Unread(checked.status());
    return;
  }
  Update([&](v1::Scrub& scrub) {
    ++counts_.checked;
    counts_.damaged += checked->damaged ? 1 : 0;
    if (!counts) return;
    scrub.set_blobs_checked(scrub.blobs_checked() + 1);
    scrub.set_bytes_checked(scrub.bytes_checked() + checked->bytes);
    if (checked->damaged) scrub.set_blobs_damaged(scrub.blobs_damaged() + 1);
  });
  // The numbers at the end tell of the others.
  if (checked->damaged && Get().blobs_damaged() <= kMostTold)
    options_.warn("scrub: damaged, and removed: " + checked->what);
  if (checked->whole) {
    if (marked_.contains(blob.digest)) whole_.insert(blob.digest);
    return;
  }
  Bad& bad = bad_[blob.digest];
  bad.missing = !checked->damaged;
  bad.counts = bad.counts || counts;
}

absl::Status Scrubber::Settle() {
  if (bad_.empty() && whole_.empty()) return absl::OkStatus();
  std::map<std::string, std::vector<Digest>> lacking;
  std::set<Digest> missing;
  if (!bad_.empty())
    QF_RETURN_IF_ERROR(ForEachManifest(
        with_.store, [&](const std::string& name, const v1::Manifest* manifest) -> absl::Status {
          if (manifest == nullptr) return absl::OkStatus();
          for (const v1::ArtifactFile& file : manifest->files())
            for (const v1::Chunk& chunk : file.chunks()) {
              QF_ASSIGN_OR_RETURN(const Digest digest, Digest::FromRaw(chunk.digest()));
              const auto bad = bad_.find(digest);
              if (bad == bad_.end()) continue;
              lacking[name].push_back(digest);
              if (bad->second.missing) missing.insert(digest);
            }
          return absl::OkStatus();
        }));
  QF_RETURN_IF_ERROR(with_.store.Write(
      [&](Transaction& tx) { return tx.artifacts().ClearDamage({whole_.begin(), whole_.end()}); }));
  for (const Digest& digest : whole_) marked_.erase(digest);
  QF_RETURN_IF_ERROR(Mark(lacking));
  Update([&](v1::Scrub& scrub) {
    for (const Digest& digest : missing) {
      if (bad_[digest].counts) scrub.set_blobs_missing(scrub.blobs_missing() + 1);
      counts_.missing += marked_.contains(digest) ? 0 : 1;
    }
  });
  for (const auto& [name, blobs] : lacking) marked_.insert(blobs.begin(), blobs.end());
  whole_.clear();
  bad_.clear();
  return absl::OkStatus();
}

absl::Status Scrubber::Mark(const std::map<std::string, std::vector<Digest>>& lacking) {
  if (lacking.empty()) return absl::OkStatus();
  FailPoint("scrub-before-marks");
  std::vector<std::string> news;
  const int64_t now = ToUnixMillis(with_.clock.Now());
  for (const auto& each : lacking) {
    bool is_news = false;
    QF_RETURN_IF_ERROR(with_.store.Write([&](Transaction& tx) -> absl::Status {
      // A job may have stored one and sealed its artifacts since it was looked at.
      std::vector<Digest> still;
      std::ranges::copy_if(each.second, std::back_inserter(still), [&](const Digest& digest) {
        return absl::IsNotFound(with_.blobs.Stat(digest).status());
      });
      QF_ASSIGN_OR_RETURN(is_news, tx.artifacts().MarkDamaged(each.first, still, now));
      return absl::OkStatus();
    }));
    if (is_news) news.push_back(each.first);
  }
  FailPoint("scrub-after-marks");
  for (const std::string& name : news)
    options_.warn(fmt::format("scrub: {} is damaged: no device can download all of it", name));
  Repair(news);
  return absl::OkStatus();
}

void Scrubber::Repair(const std::vector<std::string>& artifacts) {
  if (artifacts.empty()) return;
  for (const auto& [name, job] : with_.jobs.Repair(artifacts)) {
    if (!told_.insert(name).second) continue;
    if (job.ok())
      options_.log(fmt::format("scrub: {} makes {} again", job->name(), name));
    else
      options_.warn(fmt::format("scrub: {} is not made again: {}", name, Message(job.status())));
  }
}

// ---- files of pushed models

absl::StatusOr<std::vector<Scrubber::ModelFile>> Scrubber::ListModelFiles() {
  QF_ASSIGN_OR_RETURN(const auto models,
                      with_.store.Read([](const Transaction& tx) { return tx.models().List(); }));
  std::vector<ModelFile> files;
  for (const v1::Model& model : models) {
    // Imported ones are not the daemon's own: they may change.
    const fs::path place = PlaceOf(with_.files, options_.data, model.path());
    if (!IsPushed(options_.data, place)) continue;
    for (const v1::ModelFile& file : model.files()) {
      const auto sha256 = Digest::FromRaw(file.sha256());
      if (!sha256.ok()) continue;  // pushed before digests were recorded
      files.push_back(
          {fmt::format("{}{}/{}", kFiles, model.name(), file.path()),
           fmt::format("{} of model {}, version {}", file.path(), model.name(), model.version()),
           place / file.path(), *sha256, file.size()});
    }
  }
  std::ranges::sort(files, {}, &ModelFile::cursor);
  return files;
}

absl::Status Scrubber::CheckFile(const ModelFile& file, const std::stop_token& stop) {
  const auto is_same = [&]() -> absl::StatusOr<bool> {
    QF_ASSIGN_OR_RETURN(const auto open, with_.files.Open(file.path, OpenMode::kRead));
    QF_ASSIGN_OR_RETURN(const uint64_t size, open->Size());
    if (size != file.size) return false;
    Sha256 hash;
    Bytes buffer(std::min<uint64_t>(size, 1 << 20));
    for (uint64_t at = 0; at < size;) {
      const MutableBytes part =
          MutableBytes(buffer).first(std::min<uint64_t>(buffer.size(), size - at));
      QF_RETURN_IF_ERROR(open->ReadAt(at, part));
      hash.Update(part);
      open->DropCache(at, part.size());
      at += part.size();
      Update(
          [&](v1::Scrub& scrub) { scrub.set_bytes_checked(scrub.bytes_checked() + part.size()); });
      Pace(part.size(), stop);
      if (stop.stop_requested()) return Stopped();
    }
    return hash.Finish() == file.sha256;
  };
  const absl::StatusOr<bool> same = is_same();
  if (absl::IsCancelled(same.status())) return same.status();
  const bool missing = absl::IsNotFound(same.status());
  if (!same.ok() && !missing && !absl::IsDataLoss(same.status())) {
    Unread(same.status());
    return absl::OkStatus();
  }
  const bool damaged = !missing && (!same.ok() || !*same);
  // A model that was replaced meanwhile is swept.
  if (missing && !with_.files.Exists(file.path.parent_path())) return absl::OkStatus();
  Update([&](v1::Scrub& scrub) {
    scrub.set_blobs_checked(scrub.blobs_checked() + 1);
    if (damaged) scrub.set_blobs_damaged(scrub.blobs_damaged() + 1);
    if (missing) scrub.set_blobs_missing(scrub.blobs_missing() + 1);
    ++counts_.checked;
    counts_.damaged += damaged ? 1 : 0;
    counts_.missing += missing ? 1 : 0;
  });
  if (!damaged && !missing) return absl::OkStatus();
  Update([&](v1::Scrub& scrub) { scrub.add_affected(file.what); });
  fs::path aside = file.path;
  aside += ".damaged";
  const absl::Status moved = damaged ? with_.files.Rename(file.path, aside) : absl::OkStatus();
  options_.warn(fmt::format("scrub: {} is {}: push the model again", file.what,
                            missing      ? "missing"
                            : moved.ok() ? "damaged, and set aside as " + aside.string()
                                         : "damaged, and cannot be set aside: " + Message(moved)));
  return absl::OkStatus();
}

// ---- what somebody failed to download

absl::Status Scrubber::CheckSuspects(const std::stop_token& stop) {
  std::set<Digest> suspects;
  std::set<std::string> artifacts;
  {
    const std::lock_guard lock(mutex_);
    // Each look reads all manifests: devices must not cause that as often as they like.
    if ((suspects_.empty() && suspect_artifacts_.empty()) ||
        with_.clock.Monotonic() - looked_ < kLookEvery)
      return absl::OkStatus();
    suspects.swap(suspects_);
    artifacts.swap(suspect_artifacts_);
  }
  std::vector<Blob> blobs;
  std::map<std::string, std::vector<Digest>> damaged;
  std::set<Digest> needless = suspects;
  QF_RETURN_IF_ERROR(ForEachManifest(
      with_.store, [&](const std::string& name, const v1::Manifest* manifest) -> absl::Status {
        if (manifest == nullptr) {
          QF_ASSIGN_OR_RETURN(const Digest own, DigestOfArtifact(name));
          damaged[name] = {own};
          needless.clear();  // it may be what has them
          return absl::OkStatus();
        }
        for (const v1::ArtifactFile& file : manifest->files())
          for (const v1::Chunk& chunk : file.chunks()) {
            QF_ASSIGN_OR_RETURN(const Digest digest, Digest::FromRaw(chunk.digest()));
            needless.erase(digest);
            if (artifacts.contains(name) || suspects.contains(digest))
              blobs.push_back({digest, chunk.size()});
          }
        return absl::OkStatus();
      }));
  std::ranges::sort(blobs);
  const auto repeated = std::ranges::unique(blobs, {}, &Blob::digest);
  blobs.erase(repeated.begin(), repeated.end());
  for (const Blob& blob : blobs) {
    if (stop.stop_requested()) return Stopped();
    CheckBlob(blob, /*counts=*/false);
    Pace(blob.size, stop);
  }
  looked_ = with_.clock.Monotonic();
  {
    const std::lock_guard lock(mutex_);
    if (needless_.size() >= kMaxSuspects) needless_.clear();
    if (needless_.empty()) needless_since_ = looked_;
    needless_.insert(needless.begin(), needless.end());
  }
  QF_RETURN_IF_ERROR(Mark(damaged));
  return Settle();
}

}  // namespace quantfleet::daemon
