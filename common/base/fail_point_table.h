// Every fail point: its name, the programs that pass it, and the moment that it stands for. The
// end-to-end tests ask the programs for their rows and kill them at each.
#pragma once

#include <array>
#include <string_view>

namespace quantfleet {

enum class Program { kDaemon, kAgent, kCommand };

struct FailPointRow {
  enum class In { kDaemon, kAgent, kMakers } in;  // kMakers: the daemon and the operator's command
  std::string_view name;
  std::string_view moment;
};

inline constexpr auto kFailPoints = [] {
  using enum FailPointRow::In;
  return std::to_array<FailPointRow>({
      // ---- pipeline: whoever makes artifacts
      {kMakers, "slab-before-store", "a chunk is full"},
      {kMakers, "slab-after-store", "a chunk is stored"},
      {kMakers, "slab-before-record", "all chunks of a slab are stored"},
      {kMakers, "slab-after-record", "a slab is in the journal"},
      {kMakers, "blob-before-write", "the folders of a new blob are there"},
      {kMakers, "blob-before-rename", "a blob is written under another name"},
      {kMakers, "blob-after-rename", "a blob has its name, its folder is not synced"},
      // ---- daemon/trust
      {kDaemon, "authority-before-ca", "the CA is made and not kept"},
      {kDaemon, "authority-after-ca", "the CA is kept, no signing key is"},
      {kDaemon, "authority-after-signing-key", "CA and signing key are kept"},
      // ---- daemon/jobs
      {kDaemon, "push-before-rename", "a pushed model is complete"},
      {kDaemon, "push-after-rename", "the pushed model is in its place"},
      {kDaemon, "push-after-record", "the pushed model is recorded"},
      {kDaemon, "job-claimed", "a job begins or resumes"},
      {kDaemon, "job-reference-made", "the reference that artifacts are measured against is made"},
      {kDaemon, "job-before-artifacts", "everything is made, nothing is recorded"},
      {kDaemon, "job-after-artifacts", "a job's artifacts are recorded"},
      {kDaemon, "garbage-before-remove", "what is needed is known"},
      {kDaemon, "garbage-after-remove", "a blob is removed"},
      {kDaemon, "scrub-checked", "a blob is compared, what was found is not recorded"},
      {kDaemon, "scrub-before-marks", "artifacts are to be marked as damaged"},
      {kDaemon, "scrub-after-marks", "they are, nobody repairs them yet"},
      // ---- daemon/fleet
      {kDaemon, "token-before-create", "a token is drawn"},
      {kDaemon, "token-after-create", "a token is recorded"},
      {kDaemon, "class-before-put", "a device class is checked"},
      {kDaemon, "class-after-put", "a device class is recorded"},
      {kDaemon, "enroll-before-device-recorded", "a device is admitted"},
      {kDaemon, "enroll-after-device-recorded", "it is enrolled, without a certificate"},
      {kDaemon, "device-before-certificate-recorded", "its certificate is made"},
      {kDaemon, "device-after-certificate-recorded", "its certificate is recorded"},
      {kDaemon, "device-before-labelled", "labels are checked"},
      {kDaemon, "device-after-labelled", "labels are recorded"},
      {kDaemon, "device-before-revoked", "a device is to be revoked"},
      {kDaemon, "device-after-revoked", "it is revoked, its rollouts do not know yet"},
      {kDaemon, "queue-before-approved", "a pending device is approved"},
      {kDaemon, "queue-after-approved", "it is enrolled, the call is not answered"},
      // ---- daemon/rollout
      {kDaemon, "rollout-before-record", "a rollout is drawn"},
      {kDaemon, "rollout-after-record", "a rollout is recorded"},
      {kDaemon, "rollout-before-device-recorded", "a report is checked"},
      {kDaemon, "rollout-before-finished", "within the transaction that ends a rollout"},
      {kDaemon, "rollout-after-finished", "the same, after its record"},
      {kDaemon, "phase-before-entered", "within the transaction that changes its state"},
      {kDaemon, "phase-after-entered", "the same, after its record"},
      {kDaemon, "phase-before-assigned", "within the transaction of an assignment"},
      {kDaemon, "phase-after-assigned", "the same, after its record"},
      {kDaemon, "phase-before-rolled-back", "within the transaction of a rollback"},
      {kDaemon, "phase-after-rolled-back", "the same, after its record"},
      {kDaemon, "phase-before-joined", "within the transaction of a device that joins"},
      {kDaemon, "phase-after-joined", "the same, after its record"},
      {kDaemon, "phase-after-report", "a report is processed, the call is not answered"},
      {kDaemon, "phase-before-action", "an operator acts on a rollout"},
      {kDaemon, "phase-after-action", "it is done, the call is not answered"},
      {kDaemon, "phase-before-approved", "an operator approves a phase"},
      {kDaemon, "phase-after-approved", "it is open, the call is not answered"},
      {kDaemon, "download-before-allowed", "an operator allows downloads"},
      {kDaemon, "download-after-allowed", "they are assigned, the call is not answered"},
      // ---- daemon: maintenance
      {kDaemon, "maintenance-backup", "a backup is complete, without its name"},
      {kDaemon, "maintenance-restore", "the state is copied, without its name"},
      {kDaemon, "maintenance-rotate", "there is a new key, and only old signatures"},
      // ---- agent/identity
      {kAgent, "enroll-key-saved", "the device has a key and nothing else"},
      {kAgent, "enroll-before-save", "the daemon has enrolled it"},
      {kAgent, "enroll-after-save", "the identity is kept"},
      // ---- agent/update
      {kAgent, "update-before-accept", "an assignment is checked"},
      {kAgent, "update-accepted", "an assignment is recorded"},
      {kAgent, "update-chunk-written", "a chunk is written and not synced"},
      {kAgent, "update-chunk-recorded", "chunks are in the journal"},
      {kAgent, "update-before-switch", "the idle slot is verified"},
      {kAgent, "update-after-switch", "it is the current one, not proven yet"},
      {kAgent, "update-after-health", "it is proven, not reported yet"},
      {kAgent, "rollback-before-switch", "the slot that failed is unmarked"},
      {kAgent, "rollback-after-switch", "the previous one is current again"},
      {kAgent, "repair-verified", "damaged chunks are fetched again and checked"},
      {kAgent, "step-down-before", "a smaller precision is chosen"},
      {kAgent, "step-down-after", "a smaller precision is recorded"},
      // ---- agent/self
      {kAgent, "self-update-before-trial", "the new program is executable"},
      {kAgent, "self-update-after-trial", "it has shown that it starts"},
      {kAgent, "self-update-recorded", "the next start will be that of the new program"},
      {kAgent, "self-update-counted", "a start is counted, not made yet"},
      {kAgent, "self-update-begun", "the new program runs and proves itself"},
      {kAgent, "self-update-checked-in", "the daemon has answered it"},
      {kAgent, "self-update-proven", "the new program counts from now on"},
  });
}();

}  // namespace quantfleet
