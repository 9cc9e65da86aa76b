// The daemon's state: one database (SQLite by default), every change a transaction, durable when a
// call returns OK.
//
// Thread-safe. Each method is atomic by itself; Atomically() joins several into one transaction.
// Functions that are handed in ("change", "sign", the body of Atomically) run inside the
// transaction, on the caller's thread: they may call the Store again, and must not wait for another
// thread that does. Names of resources are the API's ("jobs/..."). Errors: NOT_FOUND and
// ALREADY_EXISTS name the resource, RESOURCE_EXHAUSTED means a full disk.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/digest.h"
#include "common/base/file.h"
#include "common/base/status.h"
#include "daemon/store/feed.h"
#include "daemon/store/sql/schema.h"
#include "quantfleet/v1/trust.pb.h"
#include "quantfleet/v1/types.pb.h"

namespace soci {
class session;
}

namespace quantfleet::daemon {

// The request that creates something. The same method and id again: the first answer, nothing new.
// id empty: no memory.
struct Request {
  std::string method;  // "SubmitJob"
  std::string id;
};

struct PushedFile {
  std::string path;  // relative
  uint64_t size;
  Digest sha256;
};

// A model on its way in. What has arrived stands in the files themselves.
struct PushRecord {
  std::string id;
  std::string model;
  std::vector<PushedFile> files;
  int64_t created_ms = 0;
  bool committed = false;  // the model was recorded
};

struct JobRecord {
  v1::Job job;
  std::string source_path;  // the model's at submission: a later version of the name does not
                            // disturb the job
  std::vector<std::string> targets;  // "gguf:q4_0", distinct, in the order of the classes
  std::string plan_digest;           // hex; empty until planned
  std::string source_fingerprint;
};

struct SlabRow {
  uint64_t slab;
  std::string record;  // opaque bytes
};

struct ArtifactRecord {
  v1::Artifact artifact;
  std::string manifest;  // exact bytes
  std::vector<v1::Signed> statements;
};

// A device that comes in.
struct Enrollment {
  Digest public_key;      // of the device's key
  std::string admission;  // what let it in, as FindDevicesByAdmission is asked: "token t1",
                          // "certificate <key digest>"
  v1::Device device;      // id, state, class, facts, labels ...
  int64_t now_ms;
};

// A device that waits for an operator.
struct PendingRecord {
  v1::PendingDevice device;
  std::string admission;  // as in Enrollment; empty: nothing vouches for it
};

struct AssignmentRecord {
  std::string device_id;
  std::string model;
  uint64_t release;
  std::string manifest_digest;  // raw; empty: remove the model
  std::string rollout;
  v1::Signed statement;
};

// What happened, after it was committed. name: of the model, job, artifact, class, token, device,
// rollout or group.
struct Change {
  enum class Kind {
    kModel,
    kJob,
    kArtifact,
    kClass,
    kToken,
    kDevice,
    kAssignment,
    kRollout,
    kGroup
  } kind;
  std::string name;  // kAssignment: the device's id
};

struct Counts {
  uint64_t models = 0, artifacts = 0, devices = 0, devices_seen = 0, devices_pending = 0;
  uint64_t jobs_running = 0, jobs_queued = 0, rollouts_running = 0;
  uint64_t stored_bytes = 0;  // of all artifacts; chunks that several share count for each
};

class Statements;

class Store {
 public:
  // Opens or makes the database and brings its schema up to date; an older one is copied beside
  // itself first (DATABASE.vN.bak). FAILED_PRECONDITION when a newer quantfleet wrote it.
  static absl::StatusOr<std::unique_ptr<Store>> Open(
      const fs::path& database, std::span<const SchemaStep> steps = SchemaSteps());
  // A whole copy of the database at `copy`, which must not exist, also while a daemon has it open.
  static absl::Status Copy(const fs::path& database, const fs::path& copy);
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  // All of the body's calls or none. Nests.
  absl::Status Atomically(const std::function<absl::Status()>& body);
  // Called after each commit, outside of the transaction, on the thread that made it.
  Feed<Change>& changes() { return changes_; }
  // `seen_since_ms`: devices heard from at or after it count as devices_seen.
  absl::StatusOr<Counts> Count(int64_t seen_since_ms);

  // The resource that this request made, if it was here before.
  absl::StatusOr<std::optional<std::string>> FindRequest(const Request& request);

  // ---- models (models.cc)
  absl::StatusOr<v1::Model> PutModel(const v1::Model& model,
                                     const Request& request);  // replaces the name's record
  absl::StatusOr<v1::Model> GetModel(std::string_view name);
  absl::StatusOr<std::vector<v1::Model>> ListModels();  // by name

  absl::StatusOr<PushRecord> CreatePush(const PushRecord& push, const Request& request);
  absl::StatusOr<PushRecord> GetPush(std::string_view id);
  absl::StatusOr<std::vector<PushRecord>> ListPushes();  // oldest first
  absl::Status FinishPush(std::string_view id,
                          const v1::Model& model);  // records the model, marks the push committed
  absl::Status DeletePush(std::string_view id);

  // ---- jobs (jobs.cc)
  absl::StatusOr<JobRecord> CreateJob(const JobRecord& job, const Request& request);
  absl::StatusOr<JobRecord> GetJob(std::string_view name);
  absl::StatusOr<std::vector<v1::Job>> ListJobs();              // newest first
  absl::StatusOr<std::vector<JobRecord>> ListUnfinishedJobs();  // QUEUED and RUNNING, oldest first
  absl::StatusOr<JobRecord> UpdateJob(std::string_view name,
                                      const std::function<absl::Status(JobRecord&)>& change);
  // The oldest QUEUED job, now RUNNING; nullopt when none waits.
  absl::StatusOr<std::optional<JobRecord>> ClaimNextQueued();
  // At start: what was RUNNING when the process died is QUEUED again. How many.
  absl::StatusOr<int> RequeueRunning();

  absl::Status PutJobSlabs(std::string_view job,
                           const std::vector<SlabRow>& slabs);  // replaces equal numbers
  absl::StatusOr<std::vector<SlabRow>> ListJobSlabs(std::string_view job);  // by number
  absl::Status DeleteJobSlabs(std::string_view job);
  // The slabs of the latest FAILED or CANCELLED job with the same plan and source become this
  // job's. How many.
  absl::StatusOr<uint64_t> AdoptJobSlabs(const JobRecord& job);

  // ---- artifacts and device classes (artifacts.cc)
  // The same digest again (also for another model) is the same artifact: it becomes that model's
  // newest, and statements that it lacks are added.
  absl::Status PutArtifact(const ArtifactRecord& artifact);
  // By name, or by an unambiguous prefix of the digest's hex.
  absl::StatusOr<ArtifactRecord> GetArtifact(std::string_view name_or_prefix);
  // Newest first; model empty: all, an artifact of several models once for each.
  absl::StatusOr<std::vector<v1::Artifact>> ListArtifacts(std::string_view model);
  absl::Status AddStatement(std::string_view artifact, const v1::Signed& statement);
  // Forgets the artifact, for each of its models; what it was, is returned. FAILED_PRECONDITION
  // names what still needs it: devices that are assigned to it or run it, rollouts that are not
  // over.
  absl::StatusOr<v1::Artifact> DeleteArtifact(std::string_view name_or_prefix);

  absl::Status PutClass(const v1::DeviceClass& device_class);
  absl::StatusOr<v1::DeviceClass> GetClass(std::string_view name);
  absl::StatusOr<std::vector<v1::DeviceClass>> ListClasses();  // by name
  absl::Status DeleteClass(std::string_view name);

  // ---- enrollment tokens (tokens.cc)
  absl::StatusOr<v1::EnrollmentToken> CreateToken(const v1::EnrollmentToken& token,
                                                  const Digest& secret_hash,
                                                  const Request& request);
  absl::StatusOr<v1::EnrollmentToken> GetToken(std::string_view id);
  absl::StatusOr<std::vector<v1::EnrollmentToken>> ListTokens();  // newest first
  // Devices that wait by it are forgotten; those that are in stay in.
  absl::StatusOr<v1::EnrollmentToken> RevokeToken(std::string_view id);
  // Checks the token and counts its use by this key, once. A key that used it before is not held to
  // uses, rate and expiry again, and one whose device is in (`enrolled`) not to revocation either.
  // UNAUTHENTICATED: unknown token or wrong secret; PERMISSION_DENIED: expired, revoked, used up;
  // RESOURCE_EXHAUSTED, with a retry-after: its rate.
  absl::StatusOr<v1::EnrollmentToken> UseToken(std::string_view id, const Digest& secret_hash,
                                               const Digest& public_key, bool enrolled,
                                               int64_t now_ms);

  // ---- who may come, and who waits (admission.cc)
  // Replaces entries of the same ids. RESOURCE_EXHAUSTED beyond `most` in all.
  absl::StatusOr<std::vector<v1::AllowedDevice>> AllowDevices(
      const std::vector<v1::AllowedDevice>& devices, size_t most);
  absl::StatusOr<std::optional<v1::AllowedDevice>> FindAllowedDevice(std::string_view id);
  absl::StatusOr<std::vector<v1::AllowedDevice>> ListAllowedDevices(std::string_view after,
                                                                    size_t limit);  // by id
  absl::StatusOr<v1::AllowedDevice> DisallowDevice(std::string_view id);
  // Replaces the key's record, but for its place in the queue. Those that have expired go first.
  // RESOURCE_EXHAUSTED when `most` others wait that are vouched for (or not) as this one is.
  absl::Status PutPendingDevice(const PendingRecord& pending, size_t most, int64_t now_ms);
  absl::StatusOr<std::optional<PendingRecord>> FindPendingDevice(std::string_view id,
                                                                 int64_t now_ms);
  absl::StatusOr<std::vector<v1::PendingDevice>> ListPendingDevices(
      int64_t now_ms);  // first come, first

  // ---- devices (devices.cc). Device.models and last_seen_ms are filled in on every read.
  // Makes the device, in place of what allowed it or waited for it. A key that is enrolled already
  // keeps its id, the time of its enrollment, its hardware id, its labels, which new ones win over,
  // and its admission and pinned class unless new ones come. PERMISSION_DENIED: the key's device is
  // revoked.
  absl::StatusOr<v1::Device> CreateDevice(const Enrollment& enrollment);
  absl::StatusOr<std::vector<v1::Device>> FindDevicesByHardware(std::string_view hardware_id);
  absl::StatusOr<std::vector<v1::Device>> FindDevicesByAdmission(std::string_view admission);
  absl::StatusOr<v1::Device> GetDevice(std::string_view id);
  absl::StatusOr<v1::Device> FindDeviceByKey(const Digest& public_key);
  absl::StatusOr<Digest> DeviceKey(std::string_view id);
  struct KeyedDevice {
    v1::Device device;
    Digest public_key;
  };
  absl::StatusOr<KeyedDevice> GetDeviceWithKey(std::string_view id);
  // Up to `limit` devices with ids above `after`, by id.
  absl::StatusOr<std::vector<v1::Device>> ListDevices(std::string_view after, size_t limit);
  // Writes what differs: the device's own fields and the statuses in `models` (one that is gone is
  // deleted). No difference, no write. last_seen_ms is TouchDevice's; a hardware id that is known
  // stays.
  absl::StatusOr<v1::Device> UpdateDevice(std::string_view id,
                                          const std::function<absl::Status(v1::Device&)>& change);
  // Cheap: kept in memory, written every half minute (of `now_ms`) and at the end. A crash forgets
  // some.
  void TouchDevice(std::string_view id, int64_t now_ms);
  absl::Status FlushLastSeen();

  // ---- assignments (assignments.cc)
  // Takes the next release of (device, model), has the statement made for it and keeps that in
  // place of the former one. Digests are raw; `step_down`: what the device may go on with by
  // itself.
  absl::StatusOr<AssignmentRecord> AssignRelease(
      std::string_view device_id, std::string_view model, std::string_view manifest_digest,
      std::string_view rollout,
      const std::function<absl::StatusOr<v1::Signed>(uint64_t release)>& sign,
      const std::vector<std::string>& step_down = {});
  absl::StatusOr<std::vector<AssignmentRecord>> ListAssignments(
      std::string_view device_id);  // by model
  // May this device fetch that artifact: is it assigned to it, for any model, or may it step down
  // to it.
  absl::StatusOr<bool> IsAssigned(std::string_view device_id, std::string_view manifest_digest);

  // ---- statements (statements.cc)
  // `sign` may add to each statement that is kept, of artifacts and assignments; whether it did.
  // How many it added to.
  absl::StatusOr<uint64_t> SignStatementsAnew(const std::function<bool(v1::Signed&)>& sign);

  // ---- groups of devices (groups.cc)
  absl::Status PutGroup(const v1::DeviceGroup& group);  // in place of the one of that name
  absl::StatusOr<v1::DeviceGroup> GetGroup(std::string_view name);
  absl::StatusOr<std::vector<v1::DeviceGroup>> ListGroups();  // by name
  // What it was. FAILED_PRECONDITION names a rollout that is not over and uses it.
  absl::StatusOr<v1::DeviceGroup> DeleteGroup(std::string_view name);

  // ---- rollouts (rollouts.cc). A head is a rollout without its devices.
  absl::StatusOr<v1::Rollout> CreateRollout(const v1::Rollout& rollout, const Request& request);
  // A summary is a head with its counts.
  absl::StatusOr<v1::Rollout> GetRollout(
      std::string_view name);  // a summary with its devices, by id
  absl::StatusOr<v1::Rollout> GetRolloutHead(std::string_view name);
  absl::StatusOr<v1::Rollout> GetRolloutSummary(std::string_view name);
  absl::StatusOr<std::vector<v1::Rollout>> ListRollouts();  // summaries, newest first
  // A summary with up to `limit` devices of ids above `after`, by id, and next_page_token when
  // there are more. The reason of one that is QUEUED says in which other rollout it is under way,
  // if it is.
  absl::StatusOr<v1::Rollout> GetRolloutPage(std::string_view name, std::string_view after,
                                             size_t limit);
  // A summary with up to `limit` devices that changed since `revision`, in the order of their
  // changes, and the revision behind them. nullopt: without devices, and the newest revision.
  absl::StatusOr<v1::Rollout> GetRolloutChanges(std::string_view name,
                                                std::optional<uint64_t> revision, size_t limit);
  absl::Status PutRolloutHead(const v1::Rollout& head);
  // Neither a draft nor over; the highest priority first, equal ones oldest first.
  absl::StatusOr<std::vector<std::string>> ListActiveRollouts();
  // Dynamic ones, active or completed, that the device is in no row of, nor in one of a newer
  // rollout of the model, but for rows that were OUTRANKED; newest first.
  absl::StatusOr<std::vector<std::string>> ListRolloutsToJoin(std::string_view device_id);

  // ---- rollouts' devices (rollout_devices.cc): single rows, for check-ins that must not read ten
  // thousand
  struct RolloutRow {
    std::string rollout;
    std::string model;
    v1::RolloutDevice device;
    int32_t priority = 0;  // of the rollout
  };
  absl::StatusOr<std::vector<RolloutRow>> ListActiveRolloutsOf(std::string_view device_id);
  absl::Status PutRolloutDevice(std::string_view rollout, const v1::RolloutDevice& device);
  struct RolloutCount {
    uint32_t phase;
    v1::RolloutDevice::State state;
    uint64_t devices;
  };
  absl::StatusOr<std::vector<RolloutCount>> CountRolloutDevices(std::string_view rollout);
  absl::StatusOr<std::vector<v1::RolloutDevice>> ListRolloutDevices(std::string_view rollout,
                                                                    v1::RolloutDevice::State state);
  // HEALTHY ones of all rollouts, who was through last first.
  absl::StatusOr<std::vector<v1::RolloutDevice>> ListHealthyDevices(size_t limit);
  // QUEUED, of phases up to `phase`, with a delay of at most `delay_ms`, and not under way in
  // another active rollout: who is next.
  absl::StatusOr<std::vector<v1::RolloutDevice>> ListQueuedDevices(std::string_view rollout,
                                                                   uint32_t phase, int64_t delay_ms,
                                                                   size_t limit);
  absl::StatusOr<std::vector<v1::RolloutDevice>> ListOverdueDevices(std::string_view rollout,
                                                                    int64_t now_ms);

 private:
  explicit Store(std::unique_ptr<soci::session> session);

  using Body = std::function<absl::Status(soci::session&)>;
  // Under the lock; what SOCI throws becomes a status. Write: in a transaction, or a savepoint of
  // the one around it.
  absl::Status Read(const Body& body);
  absl::Status Write(const Body& body);
  void Note(Change::Kind kind, std::string_view name);  // inside Write: published once committed
  absl::Status Begin();
  absl::Status End(bool commit);

  // Inside Read or Write.
  std::optional<std::string> FindRequestIn(soci::session& sql, const Request& request);
  void RecordRequest(soci::session& sql, const Request& request, std::string_view resource);
  void WriteModel(soci::session& sql, const v1::Model& model);
  // `seen_ms`: as the devices' table has it.
  absl::Status FillDevice(v1::Device& device, int64_t seen_ms);
  absl::StatusOr<v1::Rollout> SelectSummary(soci::session& sql, const std::string& name);
  // The other active rollout in which the device is under way; empty: none.
  static std::string SelectWhere(soci::session& sql, const std::string& rollout,
                                 const std::string& device);
  // `where` has one parameter, and the order; `limit` -1: all.
  absl::StatusOr<std::vector<v1::Device>> SelectDevices(const std::string& where,
                                                        std::string_view value, int64_t limit);
  absl::StatusOr<std::vector<v1::Device>> FindDevices(const std::string& column,
                                                      std::string_view value);

  std::recursive_mutex mutex_;  // guards what follows, down to seen_mutex_
  std::unique_ptr<soci::session> session_;
  std::unique_ptr<Statements> statements_;  // of session_: goes first
  int depth_ = 0;                           // transactions and savepoints open
  bool doomed_ = false;  // the open transaction is lost: nothing in it may be kept
  std::vector<Change> noted_;

  std::mutex seen_mutex_;  // guards the two below; taken after mutex_, never before it
  std::map<std::string, int64_t, std::less<>> seen_;
  int64_t oldest_seen_ms_ = 0;

  Feed<Change> changes_;
};

}  // namespace quantfleet::daemon
