#include "daemon/app/calls.h"

#include <google/protobuf/descriptor.pb.h>

#include <algorithm>
#include <optional>

#include "common/base/outside_text.h"
#include "daemon/app/collections.h"

namespace quantfleet::daemon::app {
namespace {

using google::protobuf::FieldDescriptor;
using ProtoMessage = google::protobuf::Message;
using google::protobuf::MethodDescriptor;

constexpr size_t kMaxErrorText = 300, kMaxReasonText = 1024, kMaxNameText = 256;
// Of entries of calls that changed nothing: of all strangers together, of all devices, and of each
// operator. Some 400 bytes each: 0.6 MB and 6 MB a day at most.
constexpr double kStrangersMost = 20, kStrangersPerMinute = 1;
constexpr double kOperatorsMost = 100, kOperatorsPerMinute = 10;
constexpr double kEnrollmentsMost = 60;  // that failed: lines of the log, a minute
constexpr int64_t kDayMs = 24 * 3600 * 1000;

bool IsOfDevices(const MethodDescriptor& method) {
  return method.service()->name() == "DeviceService";
}

// "" where the message has no such text.
std::string TextOf(const ProtoMessage& message, const std::string& field) {
  const FieldDescriptor* const found = message.GetDescriptor()->FindFieldByName(field);
  if (found == nullptr || found->is_repeated() ||
      found->cpp_type() != FieldDescriptor::CPPTYPE_STRING ||
      found->type() == FieldDescriptor::TYPE_BYTES)
    return "";
  return message.GetReflection()->GetString(message, found);
}

bool IsDryRun(const ProtoMessage* request) {
  if (request == nullptr) return false;
  const FieldDescriptor* const found = request->GetDescriptor()->FindFieldByName("dry_run");
  return found != nullptr && found->cpp_type() == FieldDescriptor::CPPTYPE_BOOL &&
         request->GetReflection()->GetBool(*request, found);
}

// What a request or an answer is about: the name of it, or of the first message in it that has one.
std::string NameIn(const ProtoMessage& message) {
  for (const char* field : {"name", "id", "device_id"})
    if (std::string name = TextOf(message, field); !name.empty()) return name;
  const google::protobuf::Descriptor& type = *message.GetDescriptor();
  const google::protobuf::Reflection& look = *message.GetReflection();
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor* const field = type.field(i);
    if (field->is_map() || field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) continue;
    if (field->is_repeated() ? look.FieldSize(message, field) == 0 : !look.HasField(message, field))
      continue;
    const ProtoMessage& part = field->is_repeated() ? look.GetRepeatedMessage(message, field, 0)
                                                    : look.GetMessage(message, field);
    const int more = field->is_repeated() ? look.FieldSize(message, field) - 1 : 0;
    for (const char* name_field : {"name", "id", "device_id"})
      if (const std::string name = TextOf(part, name_field); !name.empty())
        return more > 0 ? fmt::format("{} and {} more", name, more) : name;
  }
  return "";
}

bool IsRefusal(const absl::Status& status) {
  return absl::IsPermissionDenied(status) || absl::IsUnauthenticated(status);
}

std::string CodeName(absl::StatusCode code) { return absl::StatusCodeToString(code); }

}  // namespace

struct Calls::Scope {
  const Call& call;
  const Collection* collection;
  v1::AuditRecord record;
  bool changes;           // by its declaration
  bool written = false;   // in the transaction under way
  bool recorded = false;  // and that was committed

  static thread_local Scope* current;
};
thread_local Calls::Scope* Calls::Scope::current = nullptr;

Calls::Calls(Store& store, Callers& callers, const Authority& authority, const Clock& clock,
             Options options)
    : store_(store),
      callers_(callers),
      authority_(authority),
      clock_(clock),
      options_(std::move(options)) {
  store_.set_witness(this);
}

Calls::~Calls() { store_.set_witness(nullptr); }

std::optional<uint64_t> Calls::Allowance::Take(Duration now, double most, double per_minute) {
  const double minutes = std::chrono::duration<double, std::ratio<60>>(now - at_).count();
  left_ = left_ < 0 ? most : std::min(most, left_ + minutes * per_minute);
  at_ = now;
  if (left_ < 1) {
    ++unrecorded_;
    return std::nullopt;
  }
  left_ -= 1;
  return std::exchange(unrecorded_, 0);
}

v1::AuditRecord Calls::RecordOf(const Call& call) const {
  v1::AuditRecord record;
  record.set_time_ms(ToUnixMillis(clock_.Now()));
  Callers::Known caller = callers_.WhoIs(call.caller);
  record.set_caller(std::move(caller.name));
  record.set_role(std::move(caller.role));
  record.set_address(call.caller.address);
  record.set_method(call.method.name());
  if (call.request == nullptr) return record;
  record.set_reason(Shown(TextOf(*call.request, "reason"), kMaxReasonText));
  record.set_request_id(Shown(TextOf(*call.request, "request_id"), kMaxNameText));
  record.set_object(
      Shown(InCollection(CollectionOf(call.method.service()->name()), NameIn(*call.request)),
            kMaxNameText));
  return record;
}

absl::Status Calls::Run(const Call& call, const std::function<absl::Status()>& use_case) {
  Scope scope{call,
              CollectionOf(call.method.service()->name()),
              {},
              !IsOfDevices(call.method) && !IsDryRun(call.request) &&
                  call.method.options().idempotency_level() !=
                      google::protobuf::MethodOptions::NO_SIDE_EFFECTS};
  if (scope.changes) scope.record = RecordOf(call);
  Scope::current = scope.changes ? &scope : nullptr;
  absl::Status status;
  try {
    status = use_case();
  } catch (const std::exception& e) {
    status = Internal("{}", e.what());
  }
  Scope::current = nullptr;
  Conclude(scope, status);
  return status;
}

absl::Status Calls::BeforeCommit(Transaction& tx) {
  Scope* const scope = Scope::current;
  if (scope == nullptr || scope->recorded || tx.noted().empty()) return absl::OkStatus();
  v1::AuditRecord record = scope->record;
  if (record.object().empty() && scope->collection != nullptr) {
    const auto made = std::ranges::find(tx.noted(), scope->collection->kind, &Change::kind);
    if (made != tx.noted().end()) record.set_object(InCollection(scope->collection, made->name));
  }
  // Whoever logs in has no certificate yet.
  if (record.caller().empty() && scope->collection != nullptr &&
      scope->collection->kind == Change::Kind::kOperator)
    record.set_caller(record.object());
  record.set_code("OK");
  scope->written = true;
  QF_ASSIGN_OR_RETURN(const uint64_t position, tx.audit().Append(record));
  record.set_position(position);
  scope->record = std::move(record);
  return absl::OkStatus();
}

void Calls::Committed() {
  Scope* const scope = Scope::current;
  if (scope == nullptr || !std::exchange(scope->written, false)) return;
  scope->recorded = true;
  Log(scope->record);
}

void Calls::Conclude(Scope& scope, const absl::Status& status) {
  LogEnrollment(scope.call, status);
  if (status.ok() && (!scope.changes || scope.recorded)) return;
  if (!status.ok() && !scope.changes && !IsRefusal(status)) return;
  if (!scope.changes) scope.record = RecordOf(scope.call);
  v1::AuditRecord& record = scope.record;
  record.clear_position();
  record.set_code(CodeName(status.code()));
  if (!status.ok()) record.set_message(Shown(Message(status), kMaxErrorText));
  if (record.object().empty() && status.ok() && scope.call.answer != nullptr)
    record.set_object(
        Shown(InCollection(scope.collection, NameIn(*scope.call.answer)), kMaxNameText));
  if (MayRecord(record)) Append(std::move(record));
}

bool Calls::MayRecord(v1::AuditRecord& record) {
  // An operator's name is one that the CA has certified: there are so many.
  const bool by_operator = record.caller().starts_with("operators/");
  std::lock_guard lock(mutex_);
  Allowance& allowance = allowances_[by_operator               ? record.caller()
                                     : record.caller().empty() ? ""
                                                               : "devices"];
  const auto left_out =
      allowance.Take(clock_.Monotonic(), by_operator ? kOperatorsMost : kStrangersMost,
                     by_operator ? kOperatorsPerMinute : kStrangersPerMinute);
  if (left_out) record.set_unrecorded(*left_out);
  return left_out.has_value();
}

void Calls::Append(v1::AuditRecord record) {
  const auto position = store_.Write([&](Transaction& tx) { return tx.audit().Append(record); });
  if (!position.ok())
    return options_.warn(
        fmt::format("an audit entry could not be written: {}", Describe(position.status())));
  record.set_position(*position);
  Log(record);
  if (record.time_ms() - trimmed_at_ms_ > kDayMs)
    if (const absl::Status trimmed = Trim(); !trimmed.ok())
      options_.warn(fmt::format("removing old audit entries: {}", Describe(trimmed)));
}

std::function<void()> Calls::Refused(std::string_view path, absl::Status why) {
  v1::AuditRecord record;
  record.set_time_ms(ToUnixMillis(clock_.Now()));
  record.set_method(Shown(path.substr(path.rfind('/') + 1), kMaxNameText));
  record.set_code(CodeName(why.code()));
  record.set_message(Shown(Message(why), kMaxErrorText));
  if (!MayRecord(record)) return nullptr;
  return [this, record] { Append(record); };
}

absl::Status Calls::Trim() {
  if (options_.keep.count() == 0) return absl::OkStatus();
  QF_RETURN_IF_ERROR(authority_.CheckClock());
  const int64_t now = ToUnixMillis(clock_.Now());
  trimmed_at_ms_ = now;
  return store_
      .Write([&](Transaction& tx) {
        return tx.audit().Trim(now - Duration(options_.keep).count(), now);
      })
      .status();
}

void Calls::Log(const v1::AuditRecord& record) {
  options_.log({"call",
                {{"method", record.method()},
                 {"by", record.caller().empty() ? "unknown" : record.caller()},
                 {"object", record.object()},
                 {"result", record.code()},
                 {"from", record.address()},
                 {"reason", record.reason()},
                 {"error", record.message()},
                 {"request", record.request_id()},
                 {"audit", std::to_string(record.position())}}});
}

void Calls::LogEnrollment(const Call& call, const absl::Status& status) {
  if (call.method.name() != "Enroll") return;
  Event event{"enrollment", {{"result", CodeName(status.code())}, {"from", call.caller.address}}};
  if (!status.ok()) {
    std::lock_guard lock(mutex_);
    const auto left_out =
        allowances_["enrollments"].Take(clock_.Monotonic(), kEnrollmentsMost, kEnrollmentsMost);
    if (!left_out) return;
    event.values.emplace_back("error", Message(status));
    if (*left_out > 0) event.values.emplace_back("not_logged", std::to_string(*left_out));
  } else if (call.answer != nullptr) {
    const std::string id = TextOf(*call.answer, "device_id");
    event.values.emplace_back("device", "devices/" + id);
    event.values.emplace_back("class", TextOf(*call.answer, "device_class"));
    const auto device = store_.Read([&](const Transaction& tx) { return tx.devices().Get(id); });
    if (device.ok()) event.values.emplace_back("admitted_by", device->admitted_by());
  }
  options_.log(event);
}

std::function<Subscription(std::function<void()>)> Calls::AlsoOperators(
    std::function<Subscription(std::function<void()>)> subscribe) {
  return [this, subscribe = std::move(subscribe)](std::function<void()> wake) {
    auto both = std::make_shared<std::pair<Subscription, Subscription>>();
    both->first = store_.changes().Subscribe([wake](const Change& change) {
      if (change.kind == Change::Kind::kOperator) wake();
    });
    both->second = subscribe(std::move(wake));
    return Subscription([both] {
      both->first.Cancel();
      both->second.Cancel();
    });
  };
}

}  // namespace quantfleet::daemon::app
