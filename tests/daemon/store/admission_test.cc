// Who may come and who waits, as the store keeps it.
#include <gmock/gmock.h>

#include "daemon/store/sql/store.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace quantfleet::daemon {
namespace {

using ::testing::HasSubstr;

class AdmissionStoreTest : public ::testing::Test {
 protected:
  AdmissionStoreTest() { Reopen(); }
  void Reopen() {
    store_.reset();
    auto store = Store::Open(dir_ / "state.db");
    ASSERT_OK(store);
    store_ = std::move(*store);
  }
  static v1::AllowedDevice Allowed(const std::string& id, const std::string& site = "lab") {
    v1::AllowedDevice device;
    device.set_device_id(id);
    (*device.mutable_labels())["site"] = site;
    return device;
  }
  static PendingRecord Waiting(const std::string& id, const std::string& admission = "",
                               int64_t expires_ms = 5000) {
    PendingRecord pending{{}, admission};
    pending.device.set_device_id(id);
    pending.device.set_expires_ms(expires_ms);
    return pending;
  }
  static Enrollment Coming(const std::string& id, const std::string& hardware = "") {
    Enrollment enrollment{HashText("key of " + id), "list", {}, 1000};
    enrollment.device.set_id(id);
    enrollment.device.set_state(v1::Device::ACTIVE);
    enrollment.device.mutable_facts()->set_hardware_id(hardware);
    return enrollment;
  }
  std::vector<std::string> WhoWaits(int64_t now_ms = 1000) {
    std::vector<std::string> ids;
    const auto devices = store_->ListPendingDevices(now_ms);
    for (const v1::PendingDevice& device : *devices) ids.push_back(device.device_id());
    return ids;
  }

  testing::TempDir dir_;
  std::unique_ptr<Store> store_;
};

TEST_F(AdmissionStoreTest, TheListSurvivesAReopenAndLosesWhoCame) {
  ASSERT_OK(store_->AllowDevices({Allowed("d1"), Allowed("d2")}, 10));
  ASSERT_OK(store_->AllowDevices({Allowed("d2", "field")}, 10));
  Reopen();
  EXPECT_EQ(store_->ListAllowedDevices("", 10)->size(), 2u);
  EXPECT_EQ(store_->ListAllowedDevices("d1", 10)->size(), 1u);
  EXPECT_EQ((*store_->FindAllowedDevice("d2"))->labels().at("site"), "field");
  ASSERT_OK(store_->CreateDevice(Coming("d1")));
  EXPECT_EQ(*store_->FindAllowedDevice("d1"), std::nullopt);
  EXPECT_EQ(store_->DisallowDevice("d2")->device_id(), "d2");
  EXPECT_ERROR(store_->DisallowDevice("d2"), kNotFound, "d2");
}

TEST_F(AdmissionStoreTest, TheListIsBoundedAndTakesAllOrNothing) {
  ASSERT_OK(store_->AllowDevices({Allowed("d1"), Allowed("d2")}, 2));
  EXPECT_ERROR(store_->AllowDevices({Allowed("d2"), Allowed("d3")}, 2), kResourceExhausted,
               "at most 2");
  EXPECT_EQ(*store_->FindAllowedDevice("d3"), std::nullopt);
  EXPECT_OK(store_->AllowDevices({Allowed("d2", "field")}, 2));
}

TEST_F(AdmissionStoreTest, TheQueueKeepsItsOrderIsBoundedAndForgets) {
  ASSERT_OK(store_->PutPendingDevice(Waiting("d2", "", 2000), 2, 1000));
  ASSERT_OK(store_->PutPendingDevice(Waiting("d1"), 2, 1000));
  ASSERT_OK(store_->PutPendingDevice(Waiting("d2", "", 3000), 2, 1000));  // asks again
  EXPECT_ERROR(store_->PutPendingDevice(Waiting("d3"), 2, 1000), kResourceExhausted,
               "device pending");
  ASSERT_OK(store_->PutPendingDevice(Waiting("d3", "token t"), 2, 1000))
      << "who is vouched for has other places";
  Reopen();
  EXPECT_THAT(WhoWaits(), ::testing::ElementsAre("d2", "d1", "d3"));
  EXPECT_EQ(store_->Count(0)->devices_pending, 3u);
  EXPECT_EQ((*store_->FindPendingDevice("d3", 1000))->admission, "token t");
  EXPECT_THAT(WhoWaits(3000), ::testing::ElementsAre("d1", "d3"));
  EXPECT_EQ(*store_->FindPendingDevice("d2", 3000), std::nullopt);
  ASSERT_OK(store_->PutPendingDevice(Waiting("d4"), 2, 3000))
      << "one that has expired takes no place";
  ASSERT_OK(store_->CreateDevice(Coming("d1")));
  EXPECT_THAT(WhoWaits(), ::testing::ElementsAre("d3", "d4"));
}

TEST_F(AdmissionStoreTest, WhatIsTakenBackTakesWhoWaitsByIt) {
  v1::EnrollmentToken token;
  token.set_id("t1");
  ASSERT_OK(store_->CreateToken(token, HashText("s"), {}));
  ASSERT_OK(store_->AllowDevices({Allowed("d2"), Allowed("d3")}, 10));
  ASSERT_OK(store_->PutPendingDevice(Waiting("d1", "token t1"), 10, 1000));
  ASSERT_OK(store_->PutPendingDevice(Waiting("d2", "list"), 10, 1000));
  ASSERT_OK(store_->PutPendingDevice(Waiting("d3", "certificate c"), 10, 1000));
  ASSERT_OK(store_->RevokeToken("t1"));
  ASSERT_OK(store_->DisallowDevice("d2"));
  ASSERT_OK(store_->DisallowDevice("d3"));
  EXPECT_THAT(WhoWaits(), ::testing::ElementsAre("d3"));
}

TEST_F(AdmissionStoreTest, AMachineIsWhatItWasAtFirst) {
  ASSERT_OK(store_->CreateDevice(Coming("d1")));
  EXPECT_TRUE(store_->FindDevicesByHardware("board")->empty());
  const auto say = [&](const std::string& hardware) {
    return store_->UpdateDevice("d1", [&](v1::Device& device) {
      device.mutable_facts()->set_hardware_id(hardware);
      return absl::OkStatus();
    });
  };
  ASSERT_OK(say("board"));  // an agent that learnt to tell
  ASSERT_OK(say("another"));
  EXPECT_EQ(store_->FindDevicesByHardware("board")->front().id(), "d1");
  EXPECT_TRUE(store_->FindDevicesByHardware("another")->empty());
  ASSERT_OK(store_->CreateDevice(Coming("d1", "another")));
  EXPECT_EQ(store_->FindDevicesByHardware("board")->size(), 1u);
  EXPECT_TRUE(store_->FindDevicesByHardware("another")->empty());
}

}  // namespace
}  // namespace quantfleet::daemon
