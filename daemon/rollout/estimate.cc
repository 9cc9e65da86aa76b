#include "daemon/rollout/estimate.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <queue>

#include "common/base/bytes.h"
#include "daemon/rollout/pace.h"

namespace quantfleet::daemon {
namespace {

using v1::RolloutDevice;

double Median(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<ptrdiff_t>(values.size() / 2);
  std::ranges::nth_element(values, middle);
  if (values.size() % 2 == 1) return *middle;
  return (*std::max_element(values.begin(), middle) + *middle) / 2;
}

// Simulates the plan. Times are milliseconds since 1970, as windows depend on the clock.
class Play {
 public:
  Play(const v1::Rollout& rollout, const FleetRecord& record, Duration check_in, int64_t now_ms)
      : record_(record), check_in_(check_in), open_ms_(now_ms), assigned_ms_(now_ms) {
    *rollout_.mutable_plan() = rollout.plan();
  }

  // `rows`: in the order of their turns. Its devices start and finish; then the next phase opens.
  v1::PhaseEstimate Phase(const v1::RolloutPhase& phase,
                          const std::vector<const RolloutDevice*>& rows) {
    v1::PhaseEstimate estimate;
    int64_t finished = open_ms_;
    uint64_t bytes = 0;
    for (const RolloutDevice* row : rows) {
      bytes += row->bytes();
      finished = std::max(finished, Device(*row));
    }
    in_flight_ = {};
    if (!rows.empty()) finished += int64_t{phase.soak_seconds()} * 1000;
    estimate.set_devices(rows.size());
    estimate.set_bytes(bytes);
    estimate.set_seconds(static_cast<double>(finished - open_ms_) / 1000);
    open_ms_ = finished;
    return estimate;
  }

 private:
  // When the device is finished.
  int64_t Device(const RolloutDevice& row) {
    const uint32_t most = rollout_.plan().max_in_flight();
    int64_t at = std::max({open_ms_ + row.delay_ms(), assigned_ms_, rollout_.next_told_ms()});
    if (most > 0 && in_flight_.size() >= most) {
      at = std::max(at, in_flight_.top());
      in_flight_.pop();
    }
    assigned_ms_ = ToUnixMillis(WindowOpens(rollout_.plan(), FromUnixMillis(at)));
    rollout_.set_next_told_ms(NextAssignment(rollout_, 1, FromUnixMillis(assigned_ms_)));
    const int64_t finished = assigned_ms_ + Takes(row);
    in_flight_.push(finished);
    return finished;
  }

  int64_t Takes(const RolloutDevice& row) const {
    const double bytes = static_cast<double>(row.bytes());
    double seconds = static_cast<double>(check_in_.count()) / 1000 + bytes / kAssumedBytesPerSecond;
    if (record_.devices > 0)
      seconds = bytes > 0 ? bytes / record_.bytes_per_second : record_.seconds;
    return static_cast<int64_t>(std::llround(seconds * 1000));
  }

  const FleetRecord& record_;
  const Duration check_in_;
  v1::Rollout rollout_;  // the plan, and when the rate lets the next device be assigned
  int64_t open_ms_, assigned_ms_;
  std::priority_queue<int64_t, std::vector<int64_t>, std::greater<>>
      in_flight_;  // when they are finished
};

void AddNotes(const v1::Rollout& rollout, const FleetRecord& record, Duration check_in,
              v1::RolloutEstimate& estimate) {
  if (record.devices > 0)
    estimate.add_notes(
        fmt::format("based on the last devices that finished ({}): the median is {}/s, and "
                    "{:.0f} s from assignment to finish",
                    record.devices, HumanBytes(static_cast<uint64_t>(record.bytes_per_second)),
                    record.seconds));
  else
    estimate.add_notes(fmt::format(
        "assumed, since no device has finished yet: 10 Mbit/s and a check-in interval of {} s",
        std::chrono::duration_cast<std::chrono::seconds>(check_in).count()));
  if (rollout.state() == v1::Rollout::DRAFT ||
      std::ranges::any_of(rollout.plan().phases(),
                          [](const auto& phase) { return phase.approval(); }))
    estimate.add_notes("time for approvals is not included");
  if (!rollout.plan().windows().empty())
    estimate.add_notes("maintenance windows from now on are included");
}

}  // namespace

FleetRecord RecordOf(const std::vector<RolloutDevice>& rows) {
  std::vector<double> rates, seconds;
  for (const RolloutDevice& row : rows) {
    if (row.bytes() == 0 || row.told_ms() == 0 || row.finished_ms() <= row.told_ms()) continue;
    seconds.push_back(static_cast<double>(row.finished_ms() - row.told_ms()) / 1000);
    rates.push_back(static_cast<double>(row.bytes()) / seconds.back());
  }
  FleetRecord record;
  record.devices = static_cast<uint32_t>(rates.size());
  record.bytes_per_second = Median(std::move(rates));
  record.seconds = Median(std::move(seconds));
  return record;
}

v1::RolloutEstimate EstimateOf(const v1::Rollout& rollout, const FleetRecord& record,
                               Duration check_in, Time now) {
  std::vector<std::vector<const RolloutDevice*>> phases(
      static_cast<size_t>(rollout.plan().phases_size()));
  for (const RolloutDevice& row : rollout.devices())
    if (row.state() != RolloutDevice::SKIPPED && row.phase() < phases.size())
      phases[row.phase()].push_back(&row);
  v1::RolloutEstimate estimate;
  Play play(rollout, record, check_in, ToUnixMillis(now));
  double seconds = 0;
  for (size_t i = 0; i < phases.size(); ++i) {
    std::ranges::sort(phases[i], {}, [](const RolloutDevice* row) {
      return std::pair(row->delay_ms(), row->device_id());
    });
    *estimate.add_phases() = play.Phase(rollout.plan().phases(static_cast<int>(i)), phases[i]);
    seconds += estimate.phases().rbegin()->seconds();
  }
  estimate.set_seconds(seconds);
  estimate.set_measured_devices(record.devices);
  estimate.set_bytes_per_second(record.devices > 0 ? record.bytes_per_second
                                                   : kAssumedBytesPerSecond);
  estimate.set_device_seconds(record.seconds);
  AddNotes(rollout, record, check_in, estimate);
  return estimate;
}

}  // namespace quantfleet::daemon
