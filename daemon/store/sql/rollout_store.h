// Rollouts as a whole (rollouts.cc) and their rows (rollout_devices.cc). Private to
// daemon/store/sql.
#pragma once

#include "daemon/store/sql/subject.h"

namespace quantfleet::daemon {

class SqlRolloutStore final : public RolloutStore, private SqlSubject {
 public:
  explicit SqlRolloutStore(SqlContext& context) : SqlSubject(context) {}

  absl::StatusOr<v1::Rollout> GetRecord(std::string_view name) const override;
  absl::StatusOr<v1::Rollout> GetSummary(std::string_view name) const override;
  absl::StatusOr<v1::Rollout> Get(std::string_view name) const override;
  absl::StatusOr<v1::Rollout> GetPage(std::string_view name, std::string_view after,
                                      size_t limit) const override;
  absl::StatusOr<v1::Rollout> GetChanges(std::string_view name, std::optional<uint64_t> revision,
                                         size_t limit) const override;
  absl::StatusOr<std::vector<v1::Rollout>> List() const override;
  absl::StatusOr<std::vector<std::string>> ListActive() const override;
  absl::StatusOr<std::vector<std::string>> ListToJoin(std::string_view device_id) const override;
  absl::StatusOr<v1::Rollout> Create(const v1::Rollout& rollout, const Request& request) override;
  absl::Status PutRecord(const v1::Rollout& rollout) override;
  absl::StatusOr<std::vector<Row>> ListActiveOf(std::string_view device_id) const override;
  absl::StatusOr<std::vector<Count>> CountDevices(std::string_view rollout) const override;
  absl::StatusOr<std::vector<v1::RolloutDevice>> ListDevices(
      std::string_view rollout, v1::RolloutDevice::State state) const override;
  absl::StatusOr<std::vector<v1::RolloutDevice>> ListHealthyDevices(size_t limit) const override;
  absl::StatusOr<std::vector<v1::RolloutDevice>> ListQueuedDevices(std::string_view rollout,
                                                                   uint32_t phase, int64_t delay_ms,
                                                                   size_t limit) const override;
  absl::StatusOr<std::vector<v1::RolloutDevice>> ListOverdueDevices(
      std::string_view rollout, int64_t now_ms, int64_t latest_ms) const override;
  absl::Status PutDevice(std::string_view rollout, const v1::RolloutDevice& device) override;

 private:
  // Inside Read or Write.
  absl::StatusOr<v1::Rollout> SelectSummary(soci::session& sql, const std::string& name) const;
  // The other active rollout in which the device is in flight; empty: none.
  static std::string SelectWhere(soci::session& sql, const std::string& rollout,
                                 const std::string& device);
  static void WriteRow(soci::session& sql, const std::string& rollout, const v1::RolloutDevice& row,
                       long long revision);
};

}  // namespace quantfleet::daemon
