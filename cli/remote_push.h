// Pushes a model to the daemon so that a broken connection costs only what was under way: which
// files, their digests, and the loop that resumes where the daemon says. No gRPC here: the daemon
// is a PushPort.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/status.h"
#include "pipeline/format/safetensors/model_files.h"
#include "quantfleet/v1/operator.pb.h"

namespace quantfleet::cli {

// The three calls of ModelService that a push needs.
class PushPort {
 public:
  virtual ~PushPort() = default;
  virtual absl::StatusOr<v1::PushState> BeginPush(const v1::BeginPushRequest& request) = 0;
  // Calls `next` for one message after the other until it returns false or an error, which is
  // returned.
  using NextPiece = std::function<absl::StatusOr<bool>(v1::PushData&)>;
  virtual absl::StatusOr<v1::PushState> WritePush(const NextPiece& next) = 0;
  virtual absl::StatusOr<v1::Model> CommitPush(const v1::CommitPushRequest& request) = 0;
};

struct LocalFile {
  fs::path path;
  std::string name;  // as the daemon stores it
  uint64_t size = 0;
  std::optional<std::string> content = {};  // instead of what is at the path
};

// The model's own files in the order of their names, then those of its adapters, in folders of
// their own below the model's, and the list of them.
std::vector<LocalFile> FilesToPush(const pipeline::ModelFiles& model);

struct PushOptions {
  std::string name;
  std::string request_id;
  bool with_adapters = false;  // then FAILED_PRECONDITION: the daemon would not merge them
  std::function<void(std::string_view doing, uint64_t done, uint64_t total)> on_progress;
  std::function<void(Duration)> wait;  // sleeps between attempts
};

// UNAVAILABLE when the daemon was not reached at first, or no byte got through in ten attempts in a
// row.
absl::StatusOr<v1::Model> Push(FileSystem& files, PushPort& port,
                               const std::vector<LocalFile>& model, const PushOptions& options);

// What the daemon would say to a push that begins, which does not: how much of each file it has.
// FAILED_PRECONDITION: the daemon is too old to tell.
absl::StatusOr<v1::PushState> PlanPush(FileSystem& files, PushPort& port,
                                       const std::vector<LocalFile>& model,
                                       const PushOptions& options);

}  // namespace quantfleet::cli
