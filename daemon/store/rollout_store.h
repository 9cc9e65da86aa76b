// Rollouts and their rows, one per device. A record is a rollout without its devices, counts
// and estimate; a summary is a record with its counts.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"
#include "daemon/store/request_store.h"
#include "quantfleet/v1/types.pb.h"

namespace quantfleet::daemon {

class RolloutStore {
 public:
  virtual ~RolloutStore() = default;

  virtual absl::StatusOr<v1::Rollout> GetRecord(std::string_view name) const = 0;
  virtual absl::StatusOr<v1::Rollout> GetSummary(std::string_view name) const = 0;
  // A summary with its devices, by id.
  virtual absl::StatusOr<v1::Rollout> Get(std::string_view name) const = 0;
  // A summary with up to `limit` devices of ids above `after`, by id, and next_page_token when
  // there are more. The reason of one that is QUEUED says in which other rollout it is in flight,
  // if any.
  virtual absl::StatusOr<v1::Rollout> GetPage(std::string_view name, std::string_view after,
                                              size_t limit) const = 0;
  // A summary with up to `limit` devices that changed since `revision`, in the order of their
  // changes, and the revision behind them. nullopt: without devices, and the newest revision.
  virtual absl::StatusOr<v1::Rollout> GetChanges(std::string_view name,
                                                 std::optional<uint64_t> revision,
                                                 size_t limit) const = 0;
  virtual absl::StatusOr<std::vector<v1::Rollout>> List() const = 0;  // summaries, newest first
  // Neither drafts nor finished; the highest priority first, equal ones oldest first.
  virtual absl::StatusOr<std::vector<std::string>> ListActive() const = 0;
  // Dynamic ones, active or completed, in which the device has no row, nor in a newer rollout of
  // the model, apart from OUTRANKED rows; newest first.
  virtual absl::StatusOr<std::vector<std::string>> ListToJoin(std::string_view device_id) const = 0;
  virtual absl::StatusOr<v1::Rollout> Create(const v1::Rollout& rollout,
                                             const Request& request) = 0;
  virtual absl::Status PutRecord(const v1::Rollout& rollout) = 0;

  // ---- single rows, for check-ins that must not read ten thousand
  struct Row {
    std::string rollout;
    std::string model;
    v1::RolloutDevice device;
    int32_t priority = 0;  // of the rollout
  };
  virtual absl::StatusOr<std::vector<Row>> ListActiveOf(std::string_view device_id) const = 0;
  struct Count {
    uint32_t phase;
    v1::RolloutDevice::State state;
    uint64_t devices;
  };
  virtual absl::StatusOr<std::vector<Count>> CountDevices(std::string_view rollout) const = 0;
  // By id.
  virtual absl::StatusOr<std::vector<v1::RolloutDevice>> ListDevices(
      std::string_view rollout, v1::RolloutDevice::State state) const = 0;
  // HEALTHY ones of all rollouts, the last to finish first.
  virtual absl::StatusOr<std::vector<v1::RolloutDevice>> ListHealthyDevices(size_t limit) const = 0;
  // QUEUED, of phases up to `phase`, with a delay of at most `delay_ms`, and not in flight in
  // another active rollout: the next ones.
  virtual absl::StatusOr<std::vector<v1::RolloutDevice>> ListQueuedDevices(std::string_view rollout,
                                                                           uint32_t phase,
                                                                           int64_t delay_ms,
                                                                           size_t limit) const = 0;
  // Those whose deadline has passed, or lies behind `latest_ms`: none that is set now does.
  virtual absl::StatusOr<std::vector<v1::RolloutDevice>> ListOverdueDevices(
      std::string_view rollout, int64_t now_ms,
      int64_t latest_ms = std::numeric_limits<int64_t>::max()) const = 0;
  // In place of the device's row. NOT_FOUND: there is no such rollout.
  virtual absl::Status PutDevice(std::string_view rollout, const v1::RolloutDevice& device) = 0;
};

}  // namespace quantfleet::daemon
