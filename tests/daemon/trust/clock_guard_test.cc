#include "daemon/trust/clock_guard.h"

#include <gtest/gtest.h>

#include "common/trust/statement.h"
#include "daemon/trust/authority.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace quantfleet::daemon {
namespace {

using std::chrono::seconds;
constexpr Duration kDay = std::chrono::hours(24);
const Time kStart = FromUnixMillis(1'800'000'000'000);

class ClockGuardTest : public ::testing::Test {
 protected:
  // A start of the daemon on a machine whose clock says `at`.
  absl::StatusOr<std::unique_ptr<Authority>> Open(const Clock& clock) {
    return Authority::Open(RealFileSystem(), clock, dir_.path(), {});
  }
  absl::Status OpenAt(Time at) {
    const ManualClock clock(at);
    QF_ASSIGN_OR_RETURN(const auto authority, Open(clock));
    return authority->ServerIdentity().status();
  }
  static absl::Status Issue(const Authority& authority) {
    return authority.IssueDevice(trust::GenerateTlsKey().public_pem, "d-1", std::chrono::hours(168))
        .status();
  }
  std::string Kept(const char* name) { return RealFileSystem().ReadAll(dir_ / name).value(); }

  testing::TempDir dir_;
};

TEST_F(ClockGuardTest, AStartBeforeWhatWasSignedIsRefusedWithBothTimes) {
  ASSERT_OK(OpenAt(kStart));
  const absl::Status refused = OpenAt(kStart - kDay * 2);
  EXPECT_ERROR(refused, kFailedPrecondition, "2027-01-13T08:00:00Z");
  EXPECT_ERROR(refused, kFailedPrecondition, "2027-01-15T08:00:00Z, 2 days later");
  EXPECT_ERROR(refused, kFailedPrecondition, "quantfleetd clock accept");
  EXPECT_OK(OpenAt(kStart));
}

TEST_F(ClockGuardTest, AStartFarAheadIsRefusedAndMakesNoCertificate) {
  ASSERT_OK(OpenAt(kStart));
  const std::string before = Kept("keys/server.pem");
  for (const Duration ahead : {kDay * 91, kDay * 400, kDay * 4000})
    EXPECT_ERROR(OpenAt(kStart + ahead), kFailedPrecondition, "2027-01-15T08:00:00Z");
  EXPECT_EQ(Kept("keys/server.pem"), before);
  EXPECT_OK(OpenAt(kStart + kDay * 89)) << "as after a long holiday";
}

TEST_F(ClockGuardTest, SecondsAheadAndBackAreTolerated) {
  ManualClock clock(kStart);
  const auto authority = Open(clock).value();
  for (const Duration step : {Duration(seconds(6)), Duration(-seconds(6)), Duration(-kDay / 48)}) {
    clock.Advance(step);
    EXPECT_OK(Issue(*authority));
    EXPECT_OK(OpenAt(clock.Now()));
  }
}

TEST_F(ClockGuardTest, ARunningDaemonIssuesAndSignsNothingByAClockThatJumped) {
  ManualClock clock(kStart);
  const auto authority = Open(clock).value();
  for (const Duration jump : {kDay * 400, -kDay * 2}) {
    clock.Advance(jump);
    EXPECT_ERROR(authority->CheckClock(), kFailedPrecondition, "clock");
    EXPECT_ERROR(Issue(*authority), kFailedPrecondition, "clock");
    EXPECT_ERROR(authority->SignStatement(trust::kAssignmentType, "told"), kFailedPrecondition,
                 "clock");
    EXPECT_ERROR(authority->IssueOperator(trust::GenerateTlsKey().public_pem, "eve", "admin", kDay),
                 kFailedPrecondition, "clock");
    clock.Advance(-jump);
    EXPECT_OK(Issue(*authority)) << "the jump left nothing behind";
    EXPECT_OK(authority->SignStatement(trust::kAssignmentType, "told"));
  }
}

TEST_F(ClockGuardTest, TheNewestTimeOutlivesAKilledDaemonByAMinuteAtMost) {
  ManualClock clock(kStart);
  {
    const auto authority = Open(clock).value();
    clock.Advance(kDay * 20);
    ASSERT_OK(Issue(*authority));
    clock.Advance(seconds(59));
    ASSERT_OK(Issue(*authority));
  }
  EXPECT_ERROR(OpenAt(kStart + kDay * 20 - std::chrono::minutes(61)), kFailedPrecondition, "clock");
  EXPECT_OK(OpenAt(kStart + kDay * 20 - std::chrono::minutes(59)));
}

TEST_F(ClockGuardTest, AnAcceptedClockIsBelievedInBothDirections) {
  ASSERT_OK(OpenAt(kStart));
  for (const Duration off : {kDay * 400, kDay * 0, kDay * 2, -kDay * 2}) {
    const ManualClock clock(kStart + off);
    ASSERT_OK(Authority::AcceptClock(RealFileSystem(), clock, dir_.path()).status());
    EXPECT_OK(OpenAt(clock.Now()));
    EXPECT_TRUE(trust::ReadCertificate(Kept("keys/server.pem"))->holds_at(clock.Now()))
        << "the server's certificate of another time is made again";
  }
}

TEST_F(ClockGuardTest, AClockFromBeforeQuantfleetMakesNoCa) {
  const ManualClock clock(FromUnixMillis(86'400'000));
  EXPECT_ERROR(Open(clock), kFailedPrecondition, "1970-01-02T00:00:00Z");
  EXPECT_FALSE(fs::exists(dir_ / "keys/ca.pem"));
  EXPECT_ERROR(Authority::AcceptClock(RealFileSystem(), clock, dir_.path()), kFailedPrecondition,
               "1970");
}

TEST_F(ClockGuardTest, WithoutItsFileTheCertificatesAtHandSayWhatHasPassed) {
  ASSERT_OK(OpenAt(kStart));
  fs::remove(dir_ / "keys/clock");
  EXPECT_ERROR(OpenAt(kStart - kDay), kFailedPrecondition, "2027-01-15T08:00:00Z");
  EXPECT_OK(OpenAt(kStart + kDay * 80)) << "how long it was at work is not known";
}

TEST_F(ClockGuardTest, ADamagedFileIsNamed) {
  ASSERT_OK(OpenAt(kStart));
  for (const char* text : {"", "soon\n", "18000", "-1\n", "1800000000000\n1"}) {
    ASSERT_OK(RealFileSystem().WriteAtomically(dir_ / "keys/clock", AsBytes(std::string(text))));
    EXPECT_ERROR(OpenAt(kStart), kFailedPrecondition, "keys/clock is damaged") << text;
  }
}

TEST_F(ClockGuardTest, CertificatesOfTheDaemonFromTheFutureAreMadeAgain) {
  // Within what is tolerated after a pause, and then set back with the operator's word.
  ManualClock ahead(kStart + kDay * 20);
  {
    const auto authority = Open(ahead).value();
    ASSERT_OK(authority->ServerIdentity().status());
    ASSERT_OK(authority->WriteAdminCredential("localhost:1").status());
  }
  const ManualClock right(kStart);
  ASSERT_OK(Authority::AcceptClock(RealFileSystem(), right, dir_.path()).status());
  const auto authority = Open(right).value();
  const auto server = authority->ServerIdentity();
  ASSERT_OK(server);
  ASSERT_OK(authority->WriteAdminCredential("localhost:1").status());
  EXPECT_OK(trust::VerifyChain(server->certificate_pem, authority->authorities_pem(), true, kStart))
      << "under a CA that was made while the clock was ahead";
  EXPECT_OK(
      trust::VerifyChain(Kept("keys/admin.pem"), authority->authorities_pem(), false, kStart));
}

}  // namespace
}  // namespace quantfleet::daemon
