#include "cli/remote_push.h"

#include <algorithm>

#include "common/base/digest.h"

namespace quantfleet::cli {
namespace {

constexpr size_t kPiece = 1 << 20;  // the contract's limit
constexpr int kMaxAttempts = 10;
constexpr Duration kFirstWait = std::chrono::milliseconds(250),
                   kLongestWait = std::chrono::seconds(15);

// Worth another attempt: the connection broke, or the daemon counted differently.
bool MayPass(const absl::Status& status) {
  return status.code() == absl::StatusCode::kUnavailable ||
         status.code() == absl::StatusCode::kAborted ||
         status.code() == absl::StatusCode::kOutOfRange ||
         status.code() == absl::StatusCode::kDeadlineExceeded;
}

// Runs `attempt` until it succeeds, fails for good, or has failed too often without `progress`
// growing.
template <typename Attempt>
absl::Status Retry(const PushOptions& options, const uint64_t& progress, const Attempt& attempt) {
  Duration wait = kFirstWait;
  uint64_t reached = progress;
  for (int failed = 0;;) {
    const absl::Status status = attempt();
    if (status.ok() || !MayPass(status)) return status;
    if (progress > reached) {
      failed = 0;
      wait = kFirstWait;
      reached = progress;
    }
    if (++failed >= kMaxAttempts) return status;
    options.wait(wait);
    wait = std::min(wait * 2, kLongestWait);
  }
}

class Pusher {
 public:
  Pusher(FileSystem& files, PushPort& port, const std::vector<LocalFile>& model,
         const PushOptions& options)
      : files_(files), port_(port), model_(model), options_(options) {
    for (const LocalFile& file : model) total_ += file.size;
  }

  absl::StatusOr<v1::PushState> Plan() {
    QF_RETURN_IF_ERROR(Announce());
    QF_RETURN_IF_ERROR(Ask());
    return std::move(state_);
  }

  absl::StatusOr<v1::Model> Run() {
    QF_RETURN_IF_ERROR(Announce());
    // An older daemon would make a version of the base alone.
    if (options_.with_adapters) QF_RETURN_IF_ERROR(Ask());
    // A wrong address is reported at once; only a push that has begun is worth waiting for.
    QF_RETURN_IF_ERROR(Begin());
    QF_RETURN_IF_ERROR(Retry(options_, received_, [this] { return SendRest(); }));
    return Commit();
  }

 private:
  absl::Status Announce() {
    begin_.set_request_id(options_.request_id);
    begin_.set_name(options_.name);
    for (const LocalFile& file : model_) {
      QF_ASSIGN_OR_RETURN(const Digest digest, HashFile(file));
      v1::PushFile& entry = *begin_.add_files();
      entry.set_path(file.name);
      entry.set_size(file.size);
      entry.set_sha256(digest.raw());
    }
    return absl::OkStatus();
  }

  absl::StatusOr<Digest> HashFile(const LocalFile& file) {
    if (file.content) return HashText(*file.content);
    QF_ASSIGN_OR_RETURN(const auto open, files_.Open(file.path, OpenMode::kOutside));
    QF_ASSIGN_OR_RETURN(const uint64_t size, open->Size());
    if (size != file.size)
      return Aborted("{}: the file changed while it was being read", file.path.string());
    Sha256 hash;
    Bytes piece(kPiece);
    for (uint64_t at = 0; at < size; at += kPiece) {
      const auto part = MutableBytes(piece).first(std::min<uint64_t>(kPiece, size - at));
      QF_RETURN_IF_ERROR(open->ReadAt(at, part));
      hash.Update(part);
      hashed_ += part.size();
      options_.on_progress("hashing", hashed_, total_);
    }
    return hash.Finish();
  }

  // Only a daemon that knows adapters answers without beginning a push.
  absl::Status Ask() {
    begin_.set_dry_run(true);
    QF_RETURN_IF_ERROR(Begin());
    begin_.set_dry_run(false);
    if (state_.push_id().empty()) return absl::OkStatus();
    return FailedPrecondition(
        "this daemon can neither say what would be sent nor merge adapters: update it first");
  }

  absl::Status Begin() {
    QF_ASSIGN_OR_RETURN(state_, port_.BeginPush(begin_));
    return Count();
  }

  // How much the daemon has; an answer that does not fit our files would make us send nonsense.
  absl::Status Count() {
    received_ = 0;
    for (const LocalFile& file : model_) {
      const v1::PushFile* entry = Entry(file.name);
      if (!entry || entry->received() > file.size)
        return Internal("the daemon's answer about {} does not match what is being pushed",
                        file.name);
      received_ += entry->received();
    }
    options_.on_progress("pushing", received_, total_);
    return absl::OkStatus();
  }

  const v1::PushFile* Entry(std::string_view name) const {
    const auto found = std::ranges::find(state_.files(), name, &v1::PushFile::path);
    return found == state_.files().end() ? nullptr : &*found;
  }

  absl::Status SendRest() {
    if (stale_) QF_RETURN_IF_ERROR(Begin());
    stale_ = true;  // until a stream ends well, only the daemon knows what it has
    if (received_ == total_) return absl::OkStatus();
    Cursor cursor;
    auto state = port_.WritePush([&](v1::PushData& piece) { return NextPiece(cursor, piece); });
    QF_RETURN_IF_ERROR(state.status());
    state_ = *std::move(state);
    QF_RETURN_IF_ERROR(Count());
    if (received_ != total_)
      return Aborted("the daemon has received {} of {} bytes", received_, total_);
    return absl::OkStatus();
  }

  struct Cursor {
    size_t index = 0;
    bool begun = false;  // with the file of the index
    std::unique_ptr<File> open;
    uint64_t at = 0, sent = 0;

    void Reset() {
      begun = false;
      open.reset();
    }
  };

  absl::StatusOr<bool> NextPiece(Cursor& cursor, v1::PushData& piece) {
    for (; cursor.index < model_.size(); ++cursor.index, cursor.Reset()) {
      const LocalFile& file = model_[cursor.index];
      if (!cursor.begun) {
        cursor.begun = true;
        cursor.at = Entry(file.name)->received();
      }
      if (cursor.at == file.size) continue;
      piece.set_push_id(state_.push_id());
      piece.set_path(file.name);
      piece.set_offset(cursor.at);
      std::string& data = *piece.mutable_data();
      data.resize(std::min<uint64_t>(kPiece, file.size - cursor.at));
      QF_RETURN_IF_ERROR(Read(file, cursor, std::as_writable_bytes(std::span(data))));
      cursor.at += data.size();
      cursor.sent += data.size();
      options_.on_progress("pushing", received_ + cursor.sent, total_);
      return true;
    }
    return false;
  }

  absl::Status Read(const LocalFile& file, Cursor& cursor, MutableBytes out) {
    if (file.content) {
      std::ranges::copy(AsBytes(*file.content).subspan(cursor.at, out.size()), out.begin());
      return absl::OkStatus();
    }
    if (!cursor.open) {
      QF_ASSIGN_OR_RETURN(cursor.open, files_.Open(file.path, OpenMode::kOutside));
    }
    return cursor.open->ReadAt(cursor.at, out);
  }

  absl::StatusOr<v1::Model> Commit() {
    options_.on_progress("committing", total_, total_);
    v1::CommitPushRequest request;
    request.set_push_id(state_.push_id());
    v1::Model model;
    const uint64_t no_progress = 0;
    QF_RETURN_IF_ERROR(Retry(options_, no_progress, [&]() -> absl::Status {
      QF_ASSIGN_OR_RETURN(model, port_.CommitPush(request));
      return absl::OkStatus();
    }));
    return model;
  }

  FileSystem& files_;
  PushPort& port_;
  const std::vector<LocalFile>& model_;
  const PushOptions& options_;
  uint64_t total_ = 0, hashed_ = 0, received_ = 0;
  bool stale_ = false;
  v1::BeginPushRequest begin_;
  v1::PushState state_;
};

}  // namespace

absl::StatusOr<v1::Model> Push(FileSystem& files, PushPort& port,
                               const std::vector<LocalFile>& model, const PushOptions& options) {
  return Pusher(files, port, model, options).Run();
}

absl::StatusOr<v1::PushState> PlanPush(FileSystem& files, PushPort& port,
                                       const std::vector<LocalFile>& model,
                                       const PushOptions& options) {
  return Pusher(files, port, model, options).Plan();
}

}  // namespace quantfleet::cli
