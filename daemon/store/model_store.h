// Models, and models on their way in.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/digest.h"
#include "common/base/status.h"
#include "daemon/store/request_store.h"
#include "quantfleet/v1/types.pb.h"

namespace quantfleet::daemon {

struct PushedFile {
  std::string path;  // relative
  uint64_t size;
  Digest sha256;
};

// A model on its way in. How much has arrived is seen from the files themselves.
struct PushRecord {
  std::string id;
  std::string model;
  std::vector<PushedFile> files;  // by path
  int64_t created_ms = 0;
  bool committed = false;  // a version was recorded
  uint64_t version = 0;    // which; 0: a push of before versions
};

class ModelStore {
 public:
  virtual ~ModelStore() = default;

  // The newest version.
  virtual absl::StatusOr<v1::Model> Get(std::string_view name) const = 0;
  virtual absl::StatusOr<v1::Model> GetVersion(std::string_view name, uint64_t version) const = 0;
  // The newest version of each, by name.
  virtual absl::StatusOr<std::vector<v1::Model>> List() const = 0;
  // All versions of one, newest first.
  virtual absl::StatusOr<std::vector<v1::Model>> ListVersions(std::string_view name) const = 0;
  // Becomes the name's next version, whose number it returns with it. The same request again
  // returns the version that it made.
  virtual absl::StatusOr<v1::Model> Put(const v1::Model& model, const Request& request) = 0;
  // The version that this request made.
  virtual absl::StatusOr<std::optional<v1::Model>> FindMade(const Request& request) const = 0;

  virtual absl::StatusOr<PushRecord> GetPush(std::string_view id) const = 0;
  virtual absl::StatusOr<std::vector<PushRecord>> ListPushes() const = 0;  // oldest first
  virtual absl::StatusOr<PushRecord> CreatePush(const PushRecord& push, const Request& request) = 0;
  // The push became this version of its model.
  virtual absl::Status FinishPush(std::string_view id, uint64_t version) = 0;
  virtual absl::Status DeletePush(std::string_view id) = 0;
};

}  // namespace quantfleet::daemon
