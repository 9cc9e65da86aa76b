// The rules about tokens, over the store's records.
#include "daemon/fleet/token_use.h"

#include "common/base/retry_after.h"
#include "tests/daemon/fleet/fleet_fixture.h"

namespace quantfleet::daemon {
namespace {

class TokenUseTest : public FleetFixture {
 protected:
  void Make(const std::string& id, uint32_t max_uses = 0, int64_t expires_ms = 5000,
            uint32_t rate_per_hour = 0) {
    v1::EnrollmentToken token;
    token.set_id(id);
    token.set_max_uses(max_uses);
    token.set_expires_ms(expires_ms);
    token.set_rate_per_hour(rate_per_hour);
    ASSERT_OK(Once(*store_)->tokens().Create(token, HashText("s"), {}));
  }
  // `enrolled`: the key's device is in.
  absl::StatusOr<v1::EnrollmentToken> Use(const std::string& device, const std::string& token,
                                          const std::string& secret = "s", bool enrolled = false,
                                          int64_t now_ms = 1000) {
    return store_->Write([&](Transaction& tx) {
      return UseToken(tx, token, HashText(secret), HashText("key of " + device), enrolled, now_ms);
    });
  }
  uint32_t Uses(const std::string& id) { return Once(*store_)->tokens().Get(id)->uses(); }
};

TEST_F(TokenUseTest, UsesOfAClockThatWasAheadTakeNoTurn) {
  constexpr int64_t kDay = 86'400'000;
  for (const int64_t ahead : {2 * kDay, 400 * kDay}) {
    const std::string id = "t" + std::to_string(ahead);
    Make(id, 0, 500 * kDay, 1);
    ASSERT_OK(Use("d1", id, "s", false, kDay + ahead));
    EXPECT_OK(Use("d2", id, "s", false, kDay)) << ahead;
    EXPECT_ERROR(Use("d3", id, "s", false, kDay + 1), kResourceExhausted, "in an hour");
  }
}

TEST_F(TokenUseTest, ATokenIsCheckedAndCounted) {
  Make("t1", 2);
  ASSERT_OK(Use("d1", "t1"));
  EXPECT_EQ(Uses("t1"), 1u);

  const auto wrong = Use("d2", "t1", "guess");
  EXPECT_EQ(wrong.status().code(), absl::StatusCode::kUnauthenticated);
  const auto unknown = Use("d2", "t9");
  EXPECT_EQ(unknown.status().code(), absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(Message(wrong.status()), Message(unknown.status()));
  EXPECT_EQ(Uses("t1"), 1u);

  EXPECT_ERROR(Use("d2", "t1", "s", false, 5000), kPermissionDenied, "expired");
  ASSERT_OK(Use("d2", "t1"));
  EXPECT_ERROR(Use("d3", "t1"), kPermissionDenied, "used up");

  // The answer to d2 was lost; it asks again with the token that it has used up.
  ASSERT_OK(Use("d2", "t1"));
  ASSERT_OK(Use("d2", "t1", "s", true));
  EXPECT_EQ(Uses("t1"), 2u);

  // Revoked, it lets nobody else in, and puts nobody out.
  ASSERT_OK(fleet_.RevokeToken("t1"));
  EXPECT_ERROR(Use("d3", "t1"), kPermissionDenied, "revoked");
  EXPECT_ERROR(Use("d2", "t1"), kPermissionDenied, "revoked");
  ASSERT_OK(Use("d2", "t1", "s", true));
  EXPECT_EQ(Uses("t1"), 2u);
  EXPECT_ERROR(fleet_.RevokeToken("t9"), kNotFound, "t9");
}

TEST_F(TokenUseTest, ATokensRateHoldsForAnyHour) {
  constexpr int64_t kHour = 3'600'000, kStart = 10 * kHour;
  Make("slow", 0, 100 * kHour, 2);
  const auto use = [&](const std::string& device, int64_t now_ms) {
    return Use(device, "slow", "s", false, now_ms);
  };
  ASSERT_OK(use("d1", kStart));
  ASSERT_OK(use("d2", kStart + kHour / 2));
  const auto third = use("d3", kStart + kHour - 1000);
  EXPECT_EQ(third.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(RetryAfter(third.status()), Duration(1000));
  EXPECT_EQ(Uses("slow"), 2u);
  ASSERT_OK(use("d1", kStart + kHour - 1000)) << "who came before is not held up";
  ASSERT_OK(use("d3", kStart + kHour));
  EXPECT_EQ(RetryAfter(use("d4", kStart + kHour).status()), Duration(kHour / 2));
  // A clock that was set back.
  EXPECT_EQ(RetryAfter(use("d4", kStart - kHour).status()), Duration(kHour));
}

}  // namespace
}  // namespace quantfleet::daemon
