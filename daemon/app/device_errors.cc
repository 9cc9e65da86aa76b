#include "daemon/app/device_errors.h"

#include "absl/strings/cord.h"

namespace quantfleet::daemon::app {
namespace {

constexpr Duration kOnceIn = std::chrono::minutes(1);
constexpr size_t kMost = 256;  // errors that are remembered
constexpr size_t kReferenceBytes = 4;

std::string WithoutSlash(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

}  // namespace

DeviceErrors::DeviceErrors(const fs::path& data, Random& random, const Clock& clock,
                           std::function<void(std::string_view)> log)
    : data_(WithoutSlash(data.string())), random_(random), clock_(clock), log_(std::move(log)) {}

bool DeviceErrors::IsInternal(const absl::Status& status) const {
  switch (status.code()) {
    case absl::StatusCode::kInternal:
    case absl::StatusCode::kDataLoss:
    case absl::StatusCode::kUnknown:
      return true;
    default:
      return ToStd(status.message()).find(data_) != std::string_view::npos;
  }
}

std::string DeviceErrors::Reference(const std::string& error) {
  const std::lock_guard lock(mutex_);
  const Duration now = clock_.Monotonic();
  const auto found = logged_.find(error);
  if (found != logged_.end() && now - found->second.at < kOnceIn) return found->second.reference;
  if (logged_.size() >= kMost) logged_.clear();
  const Logged& fresh = logged_[error] = {random_.Id("e-", kReferenceBytes), now};
  log_(fmt::format("a device was refused with reference {}: {}", fresh.reference, error));
  return fresh.reference;
}

absl::Status DeviceErrors::ForDevice(const absl::Status& status) {
  if (status.ok() || !IsInternal(status)) return status;
  absl::Status told = MakeStatus(
      status.code(), fmt::format("the daemon has a problem of its own, which its log describes "
                                 "under the reference {}",
                                 Reference(Describe(status))));
  status.ForEachPayload([&told](absl::string_view type, const absl::Cord& payload) {
    told.SetPayload(type, payload);
  });
  return told;
}

}  // namespace quantfleet::daemon::app
