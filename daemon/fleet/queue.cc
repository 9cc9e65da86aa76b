// Pending devices: unknown ones, those whose token requires approval, and those that seem to be a
// machine that is enrolled already.
#include <google/protobuf/util/message_differencer.h>

#include <algorithm>

#include "common/base/fail_point.h"
#include "common/base/retry_after.h"
#include "daemon/fleet/fleet.h"
#include "daemon/store/stored_time.h"

namespace quantfleet::daemon {
namespace {

using google::protobuf::util::MessageDifferencer;

constexpr size_t kMaxAdmitted = 4096;        // pending devices that something admits
constexpr size_t kMaxHeldFacts = 4 << 10;    // bytes of a pending device's facts
constexpr int kMaxStrangersAMinute = 60;     // new ones
constexpr int64_t kHeldMs = 24 * 3'600'000;  // after its last ask
constexpr int64_t kAskRecordedMs = 600'000;  // between writes of when it last asked
constexpr Duration kQueueFull = std::chrono::minutes(1);

bool SameRequest(v1::PendingDevice a, v1::PendingDevice b) {
  for (v1::PendingDevice* request : {&a, &b}) {
    request->clear_last_asked_ms();
    request->clear_expires_ms();
    request->clear_facts();  // free memory differs each time
  }
  return MessageDifferencer::Equals(a, b);
}

}  // namespace

absl::StatusOr<std::string> Fleet::SameMachine(const Transaction& tx, std::string_view hardware_id,
                                               std::string_view device_id) {
  if (hardware_id.empty()) return "";
  QF_ASSIGN_OR_RETURN(const auto devices, tx.devices().FindByHardware(hardware_id));
  const auto same = std::ranges::find_if(devices, [&](const v1::Device& d) {
    return d.state() == v1::Device::ACTIVE && d.id() != device_id;
  });
  return same == devices.end() ? "" : same->id();
}

absl::Status Fleet::MeetStranger(Attempt& attempt) {
  if (attempt.met_stranger) return absl::OkStatus();
  const Duration now = with_.clock.Monotonic();
  std::lock_guard lock(strangers_mutex_);
  if (now - strangers_since_ >= std::chrono::minutes(1)) {
    strangers_since_ = now;
    strangers_ = 0;
  }
  if (strangers_ >= kMaxStrangersAMinute)
    return WithRetryAfter(
        ResourceExhausted(
            "too many unknown devices are asking at the same time: try again in a minute"),
        kQueueFull);
  ++strangers_;
  attempt.met_stranger = true;
  return absl::OkStatus();
}

absl::StatusOr<std::string> Fleet::Hold(Transaction& tx, Attempt& attempt,
                                        const Admission& admission) {
  const Applicant& applicant = attempt.applicant;
  const DeviceKey& key = attempt.key;
  const int64_t now = ToUnixMillis(with_.clock.Now());
  if (applicant.facts.ByteSizeLong() > kMaxHeldFacts)
    return InvalidArgument("facts: a pending device may send at most {} bytes", kMaxHeldFacts);
  PendingRecord pending{{}, admission.name};
  v1::PendingDevice& device = pending.device;
  device.set_device_id(key.id);
  device.set_public_key(key.digest.raw());
  device.set_reason(!admission.wait.empty()
                        ? admission.wait
                        : fmt::format("its machine belongs to {}, which is active with another key",
                                      admission.replaces));
  device.set_replaces(admission.replaces);
  device.set_admitted_by(admission.text);
  device.mutable_labels()->insert(admission.labels.begin(), admission.labels.end());
  device.set_pinned_class(admission.pinned_class);
  *device.mutable_facts() = applicant.facts;
  device.set_agent_version(applicant.agent_version);
  device.set_asked_ms(now);
  device.set_last_asked_ms(now);
  device.set_expires_ms(now + kHeldMs);

  QF_ASSIGN_OR_RETURN(const auto known, tx.admission().FindPending(key.id, now));
  if (known) device.set_asked_ms(known->device.asked_ms());
  if (!known && admission.name.empty()) QF_RETURN_IF_ERROR(MeetStranger(attempt));
  const bool fresh = known && known->admission == pending.admission &&
                     SameRequest(known->device, device) &&
                     IsWithin(kAskRecordedMs, known->device.last_asked_ms(), now);
  const bool unproven = known && !applicant.proof;
  if (unproven) device.set_reason(known->device.reason());
  if (!fresh && !unproven) {
    const absl::Status put = tx.admission().PutPending(
        pending, admission.name.empty() ? options_.queue : kMaxAdmitted, now);
    if (put.code() == absl::StatusCode::kResourceExhausted) return WithRetryAfter(put, kQueueFull);
    QF_RETURN_IF_ERROR(put);
  }
  return fmt::format(
      "device {0} waits for an operator ({1}): run `quantfleet device approve {0}` to admit it",
      key.id, device.reason());
}

absl::StatusOr<std::vector<v1::PendingDevice>> Fleet::Pending(const Transaction& tx) {
  return tx.admission().ListPending(ToUnixMillis(with_.clock.Now()));
}

absl::StatusOr<Fleet::Approved> Fleet::Approve(Transaction& tx, std::string_view device_id) {
  const int64_t now = ToUnixMillis(with_.clock.Now());
  Approved approved;
  QF_ASSIGN_OR_RETURN(const auto classes, with_.classes.Specs(tx));
  QF_ASSIGN_OR_RETURN(const auto pending, tx.admission().FindPending(device_id, now));
  if (!pending) {
    auto known = tx.devices().Get(device_id);
    if (!known.ok() || known->state() != v1::Device::ACTIVE)
      return NotFound("device \"{}\" is not pending: see `quantfleet device pending`", device_id);
    approved.device = *std::move(known);  // approved before
    return approved;
  }
  const v1::PendingDevice& request = pending->device;
  QF_ASSIGN_OR_RETURN(std::string replaces,
                      SameMachine(tx, request.facts().hardware_id(), request.device_id()));
  v1::Device old;
  if (!request.replaces().empty()) {
    QF_ASSIGN_OR_RETURN(old, tx.devices().Get(request.replaces()));
  }
  // Its machine may have enrolled with a third key since, and operators should know whom they
  // revoke.
  if (!replaces.empty() && replaces != old.id())
    return FailedPrecondition(
        "device {} would now replace {}, not {}: once it has asked again, check `quantfleet device "
        "pending`",
        device_id, replaces, old.id().empty() ? "none" : old.id());

  QF_ASSIGN_OR_RETURN(const Digest key, Digest::FromRaw(request.public_key()));
  const bool admitted = !pending->admission.empty();
  Enrollment enrollment{key, admitted ? pending->admission : "operator", {}, now};
  v1::Device& device = enrollment.device;
  device.set_id(request.device_id());
  device.set_state(v1::Device::ACTIVE);
  *device.mutable_facts() = request.facts();
  device.set_agent_version(request.agent_version());
  device.set_enrolled_ms(now);
  device.set_admitted_by(admitted ? request.admitted_by() + ", operator" : "operator");
  device.set_pinned_class(request.pinned_class().empty() ? old.pinned_class()
                                                         : request.pinned_class());
  *device.mutable_labels() = request.labels();
  for (const auto& [label, value] : old.labels()) device.mutable_labels()->insert({label, value});
  Classify(device, *classes);
  QF_ASSIGN_OR_RETURN(approved.device, tx.devices().Create(enrollment));
  if (old.state() != v1::Device::ACTIVE) return approved;
  approved.revoked = old.id();
  QF_RETURN_IF_ERROR(tx.devices().Update(old.id(), SetRevoked).status());
  return approved;
}

absl::StatusOr<v1::Device> Fleet::Reject(std::string_view device_id) {
  const int64_t now = ToUnixMillis(with_.clock.Now());
  return with_.store.Write([&](Transaction& tx) -> absl::StatusOr<v1::Device> {
    QF_ASSIGN_OR_RETURN(const auto pending, tx.admission().FindPending(device_id, now));
    if (!pending) {
      auto rejected = tx.devices().Get(device_id);
      if (rejected.ok() && rejected->state() == v1::Device::REVOKED)
        return rejected;  // rejected before
      if (rejected.ok())
        return FailedPrecondition(
            "device {0} is already enrolled: run `quantfleet device revoke {0}` to revoke it",
            device_id);
      return NotFound("device \"{}\" is not pending: see `quantfleet device pending`", device_id);
    }
    QF_ASSIGN_OR_RETURN(const Digest key, Digest::FromRaw(pending->device.public_key()));
    // Not under the certificate's name: rejecting a copy must not shut out the device that it is a
    // copy of.
    Enrollment enrollment{key, "", {}, now};
    v1::Device& device = enrollment.device;
    device.set_id(pending->device.device_id());
    device.set_state(v1::Device::REVOKED);
    *device.mutable_facts() = pending->device.facts();
    device.set_agent_version(pending->device.agent_version());
    device.set_enrolled_ms(now);
    device.set_class_reason("rejected by an operator before it was enrolled");
    return tx.devices().Create(enrollment);
  });
}

}  // namespace quantfleet::daemon
