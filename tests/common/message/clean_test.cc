#include "common/message/clean.h"

#include <gtest/gtest.h>

#include "quantfleet/v1/types.pb.h"

namespace quantfleet {
namespace {

v1::Device Example() {
  v1::Device device;
  device.set_id("d-1");
  device.mutable_facts()->set_cores(8);
  device.mutable_facts()->set_memory_bandwidth_gbps(20.5);
  device.mutable_facts()->add_instruction_sets("avx2");
  (*device.mutable_labels())["site"] = "lab\n";
  device.add_models()->set_active_manifest("\xff\xfe\x00raw");
  device.set_last_seen_ms(-1);
  return device;
}

TEST(Clean, LeavesWhatIsWholeAsItIs) {
  const v1::Device device = Example();
  const auto again = ParseClean<v1::Device>(device.SerializeAsString());
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->DebugString(), device.DebugString());
  v1::RolloutPlan plan;  // numbers that come packed
  plan.add_windows()->add_weekdays(7);
  EXPECT_EQ(ParseClean<v1::RolloutPlan>(SerializeClean(plan))->DebugString(), plan.DebugString());
}

TEST(Clean, AStringThatIsNotUtf8NeverMakesTheMessageUnreadable) {
  v1::Device device = Example();
  device.mutable_models(0)->set_detail("cut in two: \xe4\xb8");
  (*device.mutable_labels())["k\xff"] = "v";
  device.mutable_facts()->set_cpu_model("\xc0\xaf");
  v1::Device read;
  EXPECT_FALSE(read.ParseFromString(device.SerializeAsString()));
  ASSERT_TRUE(read.ParseFromString(SerializeClean(device)));
  EXPECT_EQ(read.models(0).detail(), "cut in two: \\xe4\\xb8");
  EXPECT_EQ(read.models(0).active_manifest(), device.models(0).active_manifest());
  EXPECT_EQ(read.labels().at("k\\xff"), "v");
  EXPECT_EQ(read.facts().cpu_model(), "\\xc0\\xaf");
}

TEST(Clean, UnknownFieldsGoAtEveryDepth) {
  v1::Device device = Example();
  const auto add = [](google::protobuf::Message& message) {
    message.GetReflection()->MutableUnknownFields(&message)->AddLengthDelimited(
        9999, std::string(100'000, 'x'));
    message.GetReflection()->MutableUnknownFields(&message)->AddGroup(9998)->AddVarint(1, 1);
  };
  const size_t size = device.ByteSizeLong();
  add(device);
  add(*device.mutable_facts());
  add(*device.mutable_models(0));
  EXPECT_GT(device.ByteSizeLong(), 300'000u);
  EXPECT_EQ(SerializeClean(device).size(), size);
}

TEST(Clean, WhatIsNotAMessageIsRefused) {
  const std::string bytes = Example().SerializeAsString();
  EXPECT_FALSE(ParseClean<v1::Device>(bytes.substr(0, bytes.size() - 1)).ok());
  EXPECT_FALSE(ParseClean<v1::Device>("\x0a\xff\xff\xff\xff\x0f").ok());
  EXPECT_FALSE(ParseClean<v1::Device>(std::string(1 << 20, '\x0b')).ok());  // groups in groups
  EXPECT_TRUE(ParseClean<v1::Device>("").ok());
}

}  // namespace
}  // namespace quantfleet
