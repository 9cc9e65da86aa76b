// What is recorded of calls, and what watching is worth after a revocation.
#include "daemon/app/calls.h"

#include <gmock/gmock.h>
#include <google/protobuf/descriptor.pb.h>
#include <soci/soci.h>
#include <soci/sqlite3/soci-sqlite3.h>

#include "common/trust/audit_chain.h"
#include "tests/daemon/app/app_fixture.h"

namespace quantfleet::daemon::app {
namespace {

class CallsTest : public AppFixture {
 protected:
  CallsTest() { jobs_.Stop(); }

  std::vector<std::string> Recorded() {
    std::vector<std::string> lines;
    for (const v1::AuditEntry& entry : Audit()) {
      const v1::AuditRecord& record = entry.decoded();
      lines.push_back(fmt::format("{} {} {} {}", record.caller(), record.method(), record.object(),
                                  record.code()));
    }
    return lines;
  }
  absl::StatusOr<v1::DeviceGroup> Apply(const Caller& caller, const std::string& name) {
    v1::ApplyGroupRequest request;
    request.mutable_group()->set_name(name);
    (*request.mutable_group()->mutable_selector())["ring"] = "early";
    return Call("GroupService.ApplyGroup", caller, app_.groups, &Groups::Apply, request);
  }
};

// Whoever adds a method either says that it changes nothing, or has its calls recorded; nothing
// else is to be done for it.
TEST_F(CallsTest, AMethodThatDoesNotDeclareToChangeNothingIsRecorded) {
  const Caller viewer = Operator("viewer");
  const auto& file = *v1::GetStatusRequest::descriptor()->file();
  for (int s = 0; s < file.service_count(); ++s)
    for (int m = 0; m < file.service(s)->method_count(); ++m) {
      clock_.Advance(std::chrono::minutes(10));  // or there are too many
      const auto& method = *file.service(s)->method(m);
      const bool reads =
          method.options().idempotency_level() == google::protobuf::MethodOptions::NO_SIDE_EFFECTS;
      const bool named_so = method.name().starts_with("Get") || method.name().starts_with("List") ||
                            method.name().starts_with("Watch");
      EXPECT_EQ(reads, named_so) << method.full_name();
      const size_t before = Audit().size();
      EXPECT_OK(app_.calls.Run({viewer, method}, [] { return absl::OkStatus(); }));
      ASSERT_EQ(Audit().size(), before + (reads ? 0 : 1)) << method.full_name();
      // A refusal is recorded whatever was asked.
      EXPECT_ERROR(app_.calls.Run({viewer, method}, [] { return PermissionDenied("no"); }),
                   kPermissionDenied, "no");
      ASSERT_EQ(Audit().size(), before + (reads ? 1 : 2)) << method.full_name();
    }
}

TEST_F(CallsTest, AChangeIsRecordedWithWhoWhatAndWhere) {
  const Caller publisher = Operator("publisher");
  ASSERT_OK(Apply(publisher, "early").status());
  v1::RolloutActionRequest pause;
  pause.set_name("rollouts/none");
  pause.set_reason("too \nslow");
  EXPECT_FALSE(
      Call("RolloutService.PauseRollout", publisher, app_.rollouts, &RolloutCalls::Pause, pause)
          .ok());
  EXPECT_FALSE(Apply(Operator("viewer"), "late").ok());
  const std::vector<v1::AuditEntry> entries = Audit();
  ASSERT_EQ(entries.size(), 3);
  EXPECT_THAT(Recorded(), ::testing::ElementsAre(
                              "operators/publisher-user ApplyGroup groups/early OK",
                              "operators/publisher-user PauseRollout rollouts/none NOT_FOUND",
                              "operators/viewer-user ApplyGroup groups/late PERMISSION_DENIED"));
  EXPECT_EQ(entries[0].decoded().address(), "192.0.2.1");
  EXPECT_EQ(entries[0].decoded().role(), "publisher");
  EXPECT_EQ(entries[0].decoded().time_ms(), ToUnixMillis(clock_.Now()));
  EXPECT_EQ(entries[1].decoded().reason(), "too \\nslow");
  trust::AuditChainCheck check;
  for (const v1::AuditEntry& entry : entries) EXPECT_OK(check.Add(entry));
  EXPECT_OK(check.Finish());
  ASSERT_EQ(events_.size(), 3);
  EXPECT_EQ(events_[0].what, "call");
}

// What is created has its name only once it is there.
TEST_F(CallsTest, WhatACallMakesIsItsObject) {
  v1::CreateTokenRequest request;
  request.set_request_id("r-1");
  const auto made =
      Call("TokenService.CreateToken", Operator("admin"), app_.tokens, &Tokens::Create, request);
  ASSERT_OK(made.status());
  EXPECT_EQ(Audit().back().decoded().object(), "tokens/" + made->token().id());
  EXPECT_EQ(Audit().back().decoded().request_id(), "r-1");
}

// A change without its entry is not to be had: they are one transaction.
TEST_F(CallsTest, NothingIsChangedWhereTheEntryCannotBeWritten) {
  const Caller admin = Operator("admin");
  soci::session sql(soci::sqlite3, "db=\"" + (dir_ / "state.db").string() + "\"");
  sql << "DROP TABLE audit";
  EXPECT_FALSE(Apply(admin, "early").ok());
  v1::GetGroupRequest request;
  request.set_name("early");
  EXPECT_ERROR(app_.groups.Get(admin, request), kNotFound, "early");
}

TEST_F(CallsTest, ReadingAndDryRunsAreNotRecorded) {
  v1::CollectGarbageRequest request;
  request.set_dry_run(true);
  EXPECT_OK(Call("ArtifactService.CollectGarbage", Operator("viewer"), app_.artifacts,
                 &Artifacts::CollectGarbage, request)
                .status());
  EXPECT_OK(Call("StatusService.GetStatus", Operator("viewer"), app_.status, &DaemonStatus::Get,
                 v1::GetStatusRequest())
                .status());
  EXPECT_TRUE(Audit().empty());
}

TEST_F(CallsTest, StrangersDoNotFillTheDisk) {
  const auto& method =
      *v1::GetStatusRequest::descriptor()->file()->FindServiceByName("TokenService")->method(0);
  const auto refused = [&] {
    return app_.calls.Run({Caller{}, method}, [] { return Unauthenticated("who?"); });
  };
  for (int i = 0; i < 1000; ++i) EXPECT_FALSE(refused().ok());
  const size_t at_first = Audit().size();
  EXPECT_LE(at_first, 20);
  // Those that are left out are counted.
  clock_.Advance(std::chrono::minutes(2));
  EXPECT_FALSE(refused().ok());
  ASSERT_EQ(Audit().size(), at_first + 1);
  EXPECT_EQ(Audit().back().decoded().unrecorded(), 1000 - at_first);
  // Nor do they keep an operator's call from being recorded.
  ASSERT_OK(Apply(Operator("admin"), "early").status());
  EXPECT_EQ(Audit().back().decoded().method(), "ApplyGroup");
  EXPECT_EQ(
      app_.calls.Refused("/quantfleet.v1.JobService/ListJobs", Unauthenticated("who?")) == nullptr,
      false);
}

TEST_F(CallsTest, AWatchEndsWithTheRightsOfWhoOpenedIt) {
  const Caller viewer = Operator("viewer"), admin = Operator("admin");
  const auto& method =
      *v1::GetStatusRequest::descriptor()->file()->FindServiceByName("ArtifactService")->method(6);
  ASSERT_EQ(method.name(), "WatchScrub");
  auto watch = app_.calls.Watch<v1::Scrub>(
      viewer, method, [&](const Caller& caller) { return app_.artifacts.WatchScrub(caller, {}); });
  ASSERT_OK(watch.status());
  int woken = 0;
  const Subscription subscription = watch->subscribe([&] { ++woken; });
  EXPECT_OK(watch->next().status());
  v1::RevokeOperatorRequest request;
  request.set_name("viewer-user");
  ASSERT_OK(
      Call("OperatorService.RevokeOperator", admin, app_.operators, &OperatorCalls::Revoke, request)
          .status());
  EXPECT_GE(woken, 1);
  EXPECT_ERROR(watch->next(), kPermissionDenied, "viewer-user");
}

TEST_F(CallsTest, OldEntriesAreRemovedAndThatIsRecorded) {
  // As in a daemon that runs: its clock is looked at from time to time.
  const auto days_pass = [&](int days) {
    for (; days > 0; days -= 57) {
      clock_.Advance(std::chrono::hours(24 * std::min(days, 57)));
      ASSERT_OK(authority_->CheckClock());
    }
  };
  const Caller admin = Operator("admin");
  for (const char* name : {"a", "b"}) ASSERT_OK(Apply(admin, name).status());
  days_pass(399);
  ASSERT_OK(Apply(Operator("publisher"), "c").status());
  ASSERT_OK(app_.calls.Trim());
  EXPECT_EQ(Audit().size(), 3);
  days_pass(2);
  ASSERT_OK(app_.calls.Trim());
  const std::vector<v1::AuditEntry> entries = Audit();
  ASSERT_EQ(entries.size(), 2);
  EXPECT_EQ(entries[0].decoded().object(), "groups/c");
  EXPECT_EQ(entries[1].decoded().trimmed(), 2);
  trust::AuditChainCheck check;
  for (const v1::AuditEntry& entry : entries) EXPECT_OK(check.Add(entry));
  EXPECT_OK(check.Finish());
}

TEST_F(CallsTest, PagesBelongToTheirFilters) {
  const Caller admin = Operator("admin");
  for (const char* name : {"a", "b", "c"}) ASSERT_OK(Apply(admin, name).status());
  v1::ListAuditRequest request;
  request.set_page_size(2);
  const auto first = app_.audit.List(admin, request);
  ASSERT_OK(first.status());
  ASSERT_EQ(first->entries_size(), 2);
  EXPECT_EQ(first->entries(0).decoded().object(), "groups/c");
  request.set_page_token(first->next_page_token());
  EXPECT_EQ(app_.audit.List(admin, request)->entries(0).decoded().object(), "groups/a");
  request.set_caller("admin-user");
  EXPECT_ERROR(app_.audit.List(admin, request), kInvalidArgument, "page_token");
  for (const char* token : {"x", "-1", "0", "2", "2-", "99999999999999999999-aa"}) {
    v1::ListAuditRequest wrong;
    wrong.set_page_token(token);
    EXPECT_ERROR(app_.audit.List(admin, wrong), kInvalidArgument, "page_token");
  }
  v1::ListAuditRequest of_b;
  of_b.set_object("b");
  ASSERT_EQ(app_.audit.List(admin, of_b)->entries_size(), 1);
  of_b.set_caller("nobody");
  EXPECT_EQ(app_.audit.List(admin, of_b)->entries_size(), 0);
}

// Found in each of the ways in which a row can be changed.
TEST_F(CallsTest, WhoTampersWithTheChainIsFound) {
  const Caller admin = Operator("admin");
  for (const char* name : {"a", "b", "c", "d"}) ASSERT_OK(Apply(admin, name).status());
  const std::vector<v1::AuditEntry> whole = Audit();
  const auto check = [](const std::vector<v1::AuditEntry>& entries) -> absl::Status {
    trust::AuditChainCheck chain;
    for (const v1::AuditEntry& entry : entries) QF_RETURN_IF_ERROR(chain.Add(entry));
    return chain.Finish();
  };
  EXPECT_OK(check(whole));
  auto changed = whole;
  changed[1].mutable_decoded()->set_object("groups/x");
  EXPECT_ERROR(check(changed), kDataLoss, "2");
  changed[1].set_record(changed[1].decoded().SerializeAsString());
  EXPECT_ERROR(check(changed), kDataLoss, "2");
  changed[1].set_digest(
      trust::AuditDigest(*Digest::FromRaw(changed[1].previous()), changed[1].record()).raw());
  EXPECT_ERROR(check(changed), kDataLoss, "3");
  EXPECT_ERROR(check({whole[0], whole[2], whole[3]}), kDataLoss, "3", "1");
  EXPECT_ERROR(check({whole[1], whole[2], whole[3]}), kDataLoss, "2");
}

}  // namespace
}  // namespace quantfleet::daemon::app
