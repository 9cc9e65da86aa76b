#include "daemon/app/rollouts.h"

#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <memory>

#include "daemon/app/page.h"
#include "daemon/fleet/measured.h"
#include "daemon/rollout/plan.h"

namespace quantfleet::daemon::app {
namespace {

// Each message counts all of the rollout's rows.
constexpr std::chrono::milliseconds kWatchRest{200};

constexpr size_t kMaxReason = 1024, kMaxHistory = 200;

// What operators did to it, oldest first; of more than can be shown the latest.
absl::Status AddHistory(const Transaction& tx, v1::Rollout& rollout) {
  AuditStore::Filter filter;
  filter.objects = {rollout.name()};
  QF_ASSIGN_OR_RETURN(std::vector<v1::AuditEntry> entries, tx.audit().List(filter, 0, kMaxHistory));
  std::ranges::reverse(entries);
  for (const v1::AuditEntry& entry : entries) {
    const v1::AuditRecord& record = entry.decoded();
    if (record.code() != "OK") continue;
    v1::RolloutAction& action = *rollout.add_history();
    action.set_time_ms(record.time_ms());
    action.set_operator_(record.caller().substr(record.caller().find('/') + 1));
    action.set_action(record.method());
    action.set_reason(record.reason());
  }
  return absl::OkStatus();
}

absl::StatusOr<Rollouts::CreateRequest> Translate(const v1::CreateRolloutRequest& request) {
  Rollouts::CreateRequest translated{request.request_id(),
                                     request.model(),
                                     {request.device_ids().begin(), request.device_ids().end()},
                                     {request.artifacts().begin(), request.artifacts().end()},
                                     request.plan(),
                                     Labels(request.selector().begin(), request.selector().end()),
                                     request.dry_run(),
                                     request.draft(),
                                     request.group(),
                                     request.version()};
  if (request.plan_toml().empty()) return translated;
  if (request.has_plan()) return InvalidArgument("give either plan or plan_toml, not both");
  QF_ASSIGN_OR_RETURN(translated.plan, ParsePlan(request.plan_toml()));
  return translated;
}

// What a watcher knows.
struct Known {
  std::optional<uint64_t> revision;
  v1::Rollout summary;
};

absl::StatusOr<WatchStep<v1::Rollout>> NextOf(Store& store, const std::string& name, Known& known) {
  QF_ASSIGN_OR_RETURN(v1::Rollout now, store.Read([&](const Transaction& tx) {
    return tx.rollouts().GetChanges(name, known.revision, kMaxPerPage);
  }));
  WatchStep<v1::Rollout> next;
  next.more = static_cast<uint32_t>(now.devices_size()) == kMaxPerPage;
  next.last = IsFinal(now.state()) && !next.more;
  v1::Rollout summary = now;
  summary.clear_devices();
  // A row that changed has another revision. Transactions that change nothing here wake the watch
  // too.
  const bool same =
      known.revision && google::protobuf::util::MessageDifferencer::Equals(summary, known.summary);
  known.revision = now.revision();
  known.summary = std::move(summary);
  if (!same) next.message = std::move(now);
  return next;
}

}  // namespace

absl::StatusOr<v1::Rollout> RolloutCalls::Create(const Caller& caller,
                                                 const v1::CreateRolloutRequest& request) {
  QF_RETURN_IF_ERROR(
      callers_.Operator(caller, request.dry_run() ? Role::kViewer : Role::kPublisher).status());
  if (request.reason().size() > kMaxReason)
    return InvalidArgument("reason: at most {} bytes", kMaxReason);
  QF_ASSIGN_OR_RETURN(const Rollouts::CreateRequest translated, Translate(request));
  return backend_.rollouts.Create(translated);
}

absl::StatusOr<v1::Rollout> RolloutCalls::Get(const Caller& caller,
                                              const v1::GetRolloutRequest& request) {
  QF_RETURN_IF_ERROR(callers_.Operator(caller, Role::kViewer).status());
  return backend_.store.Read([&](const Transaction& tx) -> absl::StatusOr<v1::Rollout> {
    QF_ASSIGN_OR_RETURN(
        v1::Rollout rollout,
        tx.rollouts().GetPage(request.name(), request.page_token(), PageSize(request.page_size())));
    for (const std::string& name : rollout.artifacts())
      if (const auto record = tx.artifacts().Get(name); record.ok())
        *rollout.add_measured() = MeasuredOf(*record);
    QF_RETURN_IF_ERROR(AddHistory(tx, rollout));
    return rollout;
  });
}

absl::StatusOr<v1::ListRolloutsResponse> RolloutCalls::List(const Caller& caller,
                                                            const v1::ListRolloutsRequest&) {
  QF_RETURN_IF_ERROR(callers_.Operator(caller, Role::kViewer).status());
  v1::ListRolloutsResponse response;
  QF_RETURN_IF_ERROR(
      FillList(response.mutable_rollouts(), backend_.store.Read([&](const Transaction& tx) {
        auto list = tx.rollouts().List();
        NameDamaged(tx, response);
        return list;
      })));
  return response;
}

absl::StatusOr<WatchSource<v1::Rollout>> RolloutCalls::Watch(
    const Caller& caller, const v1::WatchRolloutRequest& request) {
  QF_RETURN_IF_ERROR(callers_.Operator(caller, Role::kViewer).status());
  auto known = std::make_shared<Known>();
  if (request.revision() > 0) known->revision = request.revision();
  WatchSource<v1::Rollout> source;
  source.subscribe = [name = request.name(), this](std::function<void()> wake) {
    return backend_.store.changes().Subscribe([name, wake = std::move(wake)](const Change& change) {
      if (change.kind == Change::Kind::kRollout && change.name == name) wake();
    });
  };
  source.next = [name = request.name(), known, this] {
    return NextOf(backend_.store, name, *known);
  };
  source.rest = kWatchRest;
  return source;
}

absl::StatusOr<v1::Rollout> RolloutCalls::Act(const Caller& caller,
                                              const v1::RolloutActionRequest& request,
                                              RolloutEvent event) {
  QF_RETURN_IF_ERROR(callers_.Operator(caller, Role::kPublisher).status());
  return backend_.rollouts.Act(request.name(), event, request.reason());
}

absl::StatusOr<v1::Rollout> RolloutCalls::Pause(const Caller& caller,
                                                const v1::RolloutActionRequest& request) {
  return Act(caller, request, RolloutEvent::kPause);
}

absl::StatusOr<v1::Rollout> RolloutCalls::Resume(const Caller& caller,
                                                 const v1::RolloutActionRequest& request) {
  return Act(caller, request, RolloutEvent::kResume);
}

absl::StatusOr<v1::Rollout> RolloutCalls::Approve(const Caller& caller,
                                                  const v1::RolloutActionRequest& request) {
  QF_RETURN_IF_ERROR(callers_.Operator(caller, Role::kPublisher).status());
  return backend_.rollouts.Approve(request.name(), request.phase(), request.reason());
}

absl::StatusOr<v1::Rollout> RolloutCalls::Abort(const Caller& caller,
                                                const v1::RolloutActionRequest& request) {
  return Act(caller, request, RolloutEvent::kAbort);
}

absl::StatusOr<v1::Rollout> RolloutCalls::RollBack(const Caller& caller,
                                                   const v1::RolloutActionRequest& request) {
  return Act(caller, request, RolloutEvent::kRollBack);
}

absl::StatusOr<v1::Rollout> RolloutCalls::AllowDownload(const Caller& caller,
                                                        const v1::AllowDownloadRequest& request) {
  QF_RETURN_IF_ERROR(callers_.Operator(caller, Role::kPublisher).status());
  return backend_.rollouts.AllowDownload(
      request.name(), {request.device_ids().begin(), request.device_ids().end()});
}

}  // namespace quantfleet::daemon::app
