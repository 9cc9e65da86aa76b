// Every call of a use case, whatever protocol it comes in by: translators run use cases through
// here, so that each call that changes something, and each refusal, is in the audit log and in the
// daemon's log, and open watches end with the rights of those who opened them. Thread-safe.
//
// What changes something is said by the service's method (proto): one that does not declare
// NO_SIDE_EFFECTS does. Of a call that changed the state the entry is written in the same
// transaction; of others once they have failed or found nothing to do. Devices' calls are told by
// the state itself: of theirs only refusals are recorded. Whoever is not an operator can only make
// a bounded number of entries.
#pragma once

#include <google/protobuf/message.h>

#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include "common/base/clock.h"
#include "common/base/event.h"
#include "daemon/app/callers.h"
#include "daemon/app/watch_source.h"
#include "daemon/store/store.h"

namespace quantfleet::daemon::app {

class Calls final : private Store::Witness {
 public:
  struct Options {
    EventLog log = [](const Event&) {};
    std::function<void(std::string_view)> warn = [](std::string_view) {};
    std::chrono::hours keep{400 * 24};  // entries; 0: for good
  };
  // All must outlive it. `authority`: nothing is removed for its age while its clock is in doubt.
  Calls(Store& store, Callers& callers, const Authority& authority, const Clock& clock,
        Options options);
  ~Calls() override;

  struct Call {
    const Caller& caller;
    const google::protobuf::MethodDescriptor& method;
    // As it came; null: bytes of a stranger. Read only until the use case has ended.
    const google::protobuf::Message* request = nullptr;
    const google::protobuf::Message* answer = nullptr;  // filled by the use case; null: not known
  };
  // The status of the use case.
  absl::Status Run(const Call& call, const std::function<absl::Status()>& use_case);
  // A call that was refused before it had a message, as "/quantfleet.v1.Service/Method". Does not
  // wait; nullopt: nothing is to be done. Else what records it, to be run by a worker.
  std::function<void()> Refused(std::string_view path, absl::Status why);

  // Opens a watch: when what is known of operators changes, the caller has to be one still.
  template <typename Message>
  absl::StatusOr<WatchSource<Message>> Watch(
      const Caller& caller, const google::protobuf::MethodDescriptor& method,
      const std::function<absl::StatusOr<WatchSource<Message>>(const Caller&)>& open);

  // Removes entries that are old enough. At the start, and by itself once a day.
  absl::Status Trim();

 private:
  // What this thread is carrying out.
  struct Scope;
  // How many entries a caller may still make that are not of a change.
  class Allowance {
   public:
    // How many were left out since the last one; nullopt: leave this one out, too.
    std::optional<uint64_t> Take(Duration now, double most, double per_minute);

   private:
    double left_ = -1;
    Duration at_{};
    uint64_t unrecorded_ = 0;
  };

  absl::Status BeforeCommit(Transaction& tx) override;
  void Committed() override;
  v1::AuditRecord RecordOf(const Call& call) const;
  void Conclude(Scope& scope, const absl::Status& status);
  bool MayRecord(v1::AuditRecord& record);
  void Append(v1::AuditRecord record);
  void Log(const v1::AuditRecord& record);
  void LogEnrollment(const Call& call, const absl::Status& status);
  std::function<Subscription(std::function<void()>)> AlsoOperators(
      std::function<Subscription(std::function<void()>)> subscribe);

  Store& store_;
  Callers& callers_;
  const Authority& authority_;
  const Clock& clock_;
  const Options options_;
  std::atomic<int64_t> trimmed_at_ms_{0};
  std::mutex mutex_;
  std::map<std::string, Allowance, std::less<>>
      allowances_;  // "operators/...", "devices", "", "enrollments"
};

template <typename Message>
absl::StatusOr<WatchSource<Message>> Calls::Watch(
    const Caller& caller, const google::protobuf::MethodDescriptor& method,
    const std::function<absl::StatusOr<WatchSource<Message>>(const Caller&)>& open) {
  WatchSource<Message> source;
  QF_RETURN_IF_ERROR(Run({caller, method}, [&]() -> absl::Status {
    QF_ASSIGN_OR_RETURN(source, open(caller));
    return absl::OkStatus();
  }));
  source.subscribe = AlsoOperators(std::move(source.subscribe));
  source.next = [this, caller,
                 next = std::move(source.next)]() -> absl::StatusOr<WatchStep<Message>> {
    QF_RETURN_IF_ERROR(callers_.Operator(caller, Role::kViewer).status());
    return next();
  };
  return source;
}

}  // namespace quantfleet::daemon::app
