#include "common/trust/validity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/trust/certificate.h"
#include "tests/support/status_matchers.h"

namespace quantfleet::trust {
namespace {

using ::testing::HasSubstr;
constexpr Duration kDay = std::chrono::hours(24);
const Time kNow = FromUnixMillis(1'800'000'000'000);

TEST(ValidityTest, TimesAndLengthsAreShort) {
  EXPECT_EQ(UtcText(FromUnixMillis(0)), "1970-01-01T00:00:00Z");
  EXPECT_EQ(UtcText(kNow + Duration(999)), "2027-01-15T08:00:00Z");
  EXPECT_EQ(UtcText(FromUnixMillis(-1)), "1969-12-31T23:59:59Z");
  EXPECT_EQ(LengthText(std::chrono::seconds(6)), "6 s");
  EXPECT_EQ(LengthText(std::chrono::minutes(45)), "45 min");
  EXPECT_EQ(LengthText(std::chrono::hours(5)), "5 h");
  EXPECT_EQ(LengthText(kDay * 400), "400 days");
}

TEST(ValidityTest, ClocksWithinAnHourAgree) {
  for (const Duration apart : {Duration(0), Duration(std::chrono::seconds(6)), kDay / 25}) {
    EXPECT_FALSE((ClockPair{kNow + apart, kNow}.disagree()));
    EXPECT_FALSE((ClockPair{kNow, kNow + apart}.disagree()));
  }
  EXPECT_TRUE((ClockPair{kNow + kDay * 400, kNow}.disagree()));
  EXPECT_TRUE((ClockPair{kNow, kNow + kDay / 24}.disagree()));
}

TEST(ValidityTest, TheClockThatContradictsACertificateIsTheWrongOne) {
  const auto of_device = [&](Duration here, Duration daemon, Time certified) {
    return DescribeClocks({kNow + here, kNow + daemon}, "device", certified);
  };
  EXPECT_EQ(of_device(-kDay * 3, kDay * 0, kNow),
            "this device's clock (2027-01-12T08:00:00Z) is 3 days behind the daemon's "
            "(2027-01-15T08:00:00Z): set this device's clock");
  EXPECT_THAT(of_device(kDay * 0, -kDay * 3, kNow), HasSubstr("set the daemon's clock"));
  EXPECT_THAT(of_device(kDay * 400, kDay * 0, kNow), HasSubstr("400 days ahead of the daemon's"));
  EXPECT_THAT(of_device(kDay * 400, kDay * 0, kNow), HasSubstr("or the daemon's"));
  EXPECT_THAT(DescribeClocks({FromUnixMillis(0), kNow}, "computer", Time{}),
              ::testing::EndsWith(": set this computer's clock"));
}

TEST(ValidityTest, ARefusedCertificateComesWithBothTimes) {
  const ManualClock clock(kNow);
  const auto ca = CertificateAuthority::Create("ca", clock);
  const Subject server{.kind = Subject::Kind::kServer,
                       .id = "daemon",
                       .role = {},
                       .dns_names = {},
                       .ip_addresses = {}};
  const std::string pem = *ca.Issue(GenerateTlsKey().public_pem, server, kDay * 90, clock);
  const auto at = [&](Time now) { return VerifyChain(pem, ca.certificate_pem(), true, now); };
  EXPECT_OK(at(kNow));
  EXPECT_OK(at(kNow - std::chrono::minutes(59)));
  EXPECT_ERROR(at(kNow - kDay), kUnauthenticated, "valid from 2027-01-15T07:00:00Z");
  EXPECT_ERROR(at(kNow - kDay), kUnauthenticated, "says 2027-01-14T08:00:00Z");
  EXPECT_ERROR(at(kNow + kDay * 400), kUnauthenticated, "valid until 2027-04-15T08:00:00Z");
  EXPECT_ERROR(at(kNow + kDay * 400), kUnauthenticated, "says 2028-02-19T08:00:00Z");
}

TEST(ValidityTest, ACaHoldsAlsoForClocksFarBehindItsMaking) {
  const ManualClock ahead(kNow + kDay * 400), right(kNow);
  const auto ca = CertificateAuthority::Create("ca", ahead);
  const Subject device{
      .kind = Subject::Kind::kDevice, .id = "d-1", .role = {}, .dns_names = {}, .ip_addresses = {}};
  const std::string pem = *ca.Issue(GenerateTlsKey().public_pem, device, kDay * 7, right);
  EXPECT_OK(VerifyChain(pem, ca.certificate_pem(), false, kNow));
}

TEST(ValidityTest, ACertificateFromTheFutureDoesNotHold) {
  const CertificateInfo info{{}, kNow, kNow + kDay, {}, ""};
  EXPECT_TRUE(info.holds_at(kNow));
  EXPECT_FALSE(info.holds_at(kNow - Duration(1)));
  EXPECT_FALSE(info.holds_at(kNow + kDay));
}

}  // namespace
}  // namespace quantfleet::trust
