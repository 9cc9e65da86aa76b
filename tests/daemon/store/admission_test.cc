// Who may come and who waits, as the store keeps it.
#include "tests/daemon/store/store_fixture.h"

namespace quantfleet::daemon {
namespace {

class AdmissionStoreTest : public StoreFixture {
 protected:
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
    const auto devices = Once(*store_)->admission().ListPending(now_ms);
    for (const v1::PendingDevice& device : *devices) ids.push_back(device.device_id());
    return ids;
  }
};
INSTANTIATE_TEST_SUITE_P(Each, AdmissionStoreTest, ::testing::ValuesIn(StoreBackends()),
                         BackendName);

TEST_P(AdmissionStoreTest, TheListSurvivesAReopenAndLosesWhoCame) {
  ASSERT_OK(Once(*store_)->admission().Allow({Allowed("d1"), Allowed("d2")}, 10));
  ASSERT_OK(Once(*store_)->admission().Allow({Allowed("d2", "field")}, 10));
  Reopen();
  EXPECT_EQ(Once(*store_)->admission().ListAllowed("", 10)->size(), 2u);
  EXPECT_EQ(Once(*store_)->admission().ListAllowed("d1", 10)->size(), 1u);
  EXPECT_EQ((*Once(*store_)->admission().FindAllowed("d2"))->labels().at("site"), "field");
  ASSERT_OK(Once(*store_)->devices().Create(Coming("d1")));
  EXPECT_EQ(*Once(*store_)->admission().FindAllowed("d1"), std::nullopt);
  EXPECT_EQ(Once(*store_)->admission().Disallow("d2")->device_id(), "d2");
  EXPECT_ERROR(Once(*store_)->admission().Disallow("d2"), kNotFound, "d2");
}

TEST_P(AdmissionStoreTest, TheListIsBoundedAndTakesAllOrNothing) {
  ASSERT_OK(Once(*store_)->admission().Allow({Allowed("d1"), Allowed("d2")}, 2));
  EXPECT_ERROR(Once(*store_)->admission().Allow({Allowed("d2"), Allowed("d3")}, 2),
               kResourceExhausted, "at most 2");
  EXPECT_EQ(*Once(*store_)->admission().FindAllowed("d3"), std::nullopt);
  EXPECT_OK(Once(*store_)->admission().Allow({Allowed("d2", "field")}, 2));
}

TEST_P(AdmissionStoreTest, TheQueueKeepsItsOrderIsBoundedAndForgets) {
  ASSERT_OK(Once(*store_)->admission().PutPending(Waiting("d2", "", 2000), 2, 1000));
  ASSERT_OK(Once(*store_)->admission().PutPending(Waiting("d1"), 2, 1000));
  ASSERT_OK(Once(*store_)->admission().PutPending(Waiting("d2", "", 3000), 2, 1000));  // asks again
  EXPECT_ERROR(Once(*store_)->admission().PutPending(Waiting("d3"), 2, 1000), kResourceExhausted,
               "device pending");
  ASSERT_OK(Once(*store_)->admission().PutPending(Waiting("d3", "token t"), 2, 1000))
      << "who is vouched for has other places";
  Reopen();
  EXPECT_THAT(WhoWaits(), ::testing::ElementsAre("d2", "d1", "d3"));
  EXPECT_EQ(Once(*store_)->counts().Count(0)->devices_pending, 3u);
  EXPECT_EQ((*Once(*store_)->admission().FindPending("d3", 1000))->admission, "token t");
  EXPECT_THAT(WhoWaits(3000), ::testing::ElementsAre("d1", "d3"));
  EXPECT_EQ(*Once(*store_)->admission().FindPending("d2", 3000), std::nullopt);
  ASSERT_OK(Once(*store_)->admission().PutPending(Waiting("d4"), 2, 3000))
      << "one that has expired takes no place";
  ASSERT_OK(Once(*store_)->devices().Create(Coming("d1")));
  EXPECT_THAT(WhoWaits(), ::testing::ElementsAre("d3", "d4"));
}

TEST_P(AdmissionStoreTest, WhatIsTakenBackTakesWhoWaitsByIt) {
  ASSERT_OK(Once(*store_)->admission().Allow({Allowed("d2"), Allowed("d3")}, 10));
  ASSERT_OK(Once(*store_)->admission().PutPending(Waiting("d1", "token t1"), 10, 1000));
  ASSERT_OK(Once(*store_)->admission().PutPending(Waiting("d2", "list"), 10, 1000));
  ASSERT_OK(Once(*store_)->admission().PutPending(Waiting("d3", "certificate c"), 10, 1000));
  ASSERT_OK(Once(*store_)->admission().ForgetPending("token t1"));
  ASSERT_OK(Once(*store_)->admission().Disallow("d2"));
  ASSERT_OK(Once(*store_)->admission().Disallow("d3"));
  EXPECT_THAT(WhoWaits(), ::testing::ElementsAre("d3"));
}

TEST_P(AdmissionStoreTest, AMachineIsWhatItWasAtFirst) {
  ASSERT_OK(Once(*store_)->devices().Create(Coming("d1")));
  EXPECT_TRUE(Once(*store_)->devices().FindByHardware("board")->empty());
  const auto say = [&](const std::string& hardware) {
    return Once(*store_)->devices().Update("d1", [&](v1::Device& device) {
      device.mutable_facts()->set_hardware_id(hardware);
      return absl::OkStatus();
    });
  };
  ASSERT_OK(say("board"));  // an agent that learnt to tell
  ASSERT_OK(say("another"));
  EXPECT_EQ(Once(*store_)->devices().FindByHardware("board")->front().id(), "d1");
  EXPECT_TRUE(Once(*store_)->devices().FindByHardware("another")->empty());
  ASSERT_OK(Once(*store_)->devices().Create(Coming("d1", "another")));
  EXPECT_EQ(Once(*store_)->devices().FindByHardware("board")->size(), 1u);
  EXPECT_TRUE(Once(*store_)->devices().FindByHardware("another")->empty());
}

}  // namespace
}  // namespace quantfleet::daemon
