// Models, and models on their way in.
#pragma once

#include <cstdint>
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
  bool committed = false;  // the model was recorded
};

class ModelStore {
 public:
  virtual ~ModelStore() = default;

  virtual absl::StatusOr<v1::Model> Get(std::string_view name) const = 0;
  virtual absl::StatusOr<std::vector<v1::Model>> List() const = 0;  // by name
  // Replaces the name's record.
  virtual absl::StatusOr<v1::Model> Put(const v1::Model& model, const Request& request) = 0;

  virtual absl::StatusOr<PushRecord> GetPush(std::string_view id) const = 0;
  virtual absl::StatusOr<std::vector<PushRecord>> ListPushes() const = 0;  // oldest first
  virtual absl::StatusOr<PushRecord> CreatePush(const PushRecord& push, const Request& request) = 0;
  // Records the model and marks the push as committed.
  virtual absl::Status FinishPush(std::string_view id, const v1::Model& model) = 0;
  virtual absl::Status DeletePush(std::string_view id) = 0;
};

}  // namespace quantfleet::daemon
