#include "daemon/app/device_errors.h"

#include <gmock/gmock.h>

#include "common/base/retry_after.h"

namespace quantfleet::daemon::app {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class DeviceErrorsTest : public ::testing::Test {
 protected:
  SeededRandom random_{1};
  ManualClock clock_;
  std::vector<std::string> log_;
  DeviceErrors errors_{"/srv/q/", random_, clock_,
                       [this](std::string_view line) { log_.emplace_back(line); }};
};

TEST_F(DeviceErrorsTest, WhatADeviceCanActOnReachesItAsItIs) {
  for (const absl::Status& status :
       {absl::OkStatus(), InvalidArgument("manifest_digest must have 32 bytes"),
        PermissionDenied("device d-1 is revoked"), Unavailable("the daemon is overloaded")})
    EXPECT_EQ(errors_.ForDevice(status), status);
  EXPECT_TRUE(log_.empty());
}

TEST_F(DeviceErrorsTest, WhatIsTheDaemonsOwnIsHiddenAndLogged) {
  for (const absl::Status& status :
       {Internal("no such table: devices"), DataLoss("the manifest of artifacts/1 is damaged"),
        NotFound("/srv/q/blobs/ab: no such file"), ResourceExhausted("writing /srv/q/state.db")}) {
    log_.clear();
    const absl::Status told = errors_.ForDevice(status);
    EXPECT_EQ(told.code(), status.code());
    EXPECT_THAT(Message(told), Not(HasSubstr(Message(status))));
    EXPECT_THAT(Message(told), Not(HasSubstr("/srv/q")));
    ASSERT_EQ(log_.size(), 1u);
    const std::string reference = Message(told).substr(Message(told).rfind(' ') + 1);
    EXPECT_THAT(log_[0], AllOf(HasSubstr(reference), HasSubstr(Describe(status))));
  }
}

TEST_F(DeviceErrorsTest, AFleetThatMeetsTheSameErrorFillsNoLog) {
  const absl::Status error = Internal("the disk is gone");
  const absl::Status first = errors_.ForDevice(error);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(errors_.ForDevice(error), first);
  EXPECT_EQ(log_.size(), 1u);
  clock_.Advance(std::chrono::minutes(1));
  EXPECT_NE(errors_.ForDevice(error), first);
  EXPECT_EQ(log_.size(), 2u);
}

TEST_F(DeviceErrorsTest, WhenToComeAgainIsStillSaid) {
  const absl::Status error =
      WithRetryAfter(Unavailable("writing /srv/q/state.db"), std::chrono::seconds(7));
  EXPECT_EQ(RetryAfter(errors_.ForDevice(error)), std::chrono::seconds(7));
}

}  // namespace
}  // namespace quantfleet::daemon::app
