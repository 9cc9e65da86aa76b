// With which context and KV cache a device runs what it is given, and what it needs for that.
#include <gmock/gmock.h>

#include "tests/daemon/rollout/rollout_fixture.h"
#include "tests/support/status_matchers.h"

namespace quantfleet::daemon {
namespace {

using ::testing::HasSubstr;
using testing::Names;
using ::testing::StartsWith;

constexpr uint64_t kMiB = 1 << 20;

class ContextTest : public RolloutFixture {
 protected:
  static v1::Memory Terms(uint64_t weights_mib, uint64_t model_context = 131072) {
    v1::Memory memory;
    memory.set_weights_bytes(weights_mib * kMiB);
    for (const auto& [type, kib] :
         {std::pair("f16", 32), std::pair("q8_0", 17), std::pair("f32", 64)}) {
      v1::KvCache& cache = *memory.add_caches();
      cache.set_type(type);
      cache.set_bytes_per_token(static_cast<uint64_t>(kib) << 10);
    }
    memory.set_model_context(model_context);
    return memory;
  }
  std::string Offer(const std::string& recipe, uint64_t weights_mib,
                    uint64_t model_context = 131072) {
    const v1::Memory memory = Terms(weights_mib, model_context);
    return PutArtifact(recipe, weights_mib, "", "demo", &memory);
  }
  void Class(const std::string& terms) {
    EXPECT_OK(classes_
                  .Apply("name = \"own\"\nformat = \"gguf\"\nrecipe = \"q8_0\"\npriority = 1000\n" +
                         terms + "\n[match]\nform = [\"pc\"]\n")
                  .status());
  }
  v1::RolloutDevice RowOf(FakeDevice device, bool of_today = true) {
    if (of_today)
      for (const char* type : {"f16", "q8_0", "f32"}) device.facts.add_kv_types(type);
    Enrolled(device);
    id_ = device.id;
    Rollouts::CreateRequest request{"", "demo", {device.id}, {}};
    const auto made = rollouts_.Create(request);
    if (made.ok()) return Row(*made, device.id);
    v1::RolloutDevice row;
    row.set_reason(Message(made.status()));
    return row;
  }
  v1::Assignment Told() {
    v1::Assignment assignment;
    EXPECT_TRUE(assignment.ParseFromString(Assignments(id_).front().statement.payload()));
    return assignment;
  }

  std::string id_;
};

// A model of 131072 tokens used to be counted with a cache for all of them: no device could run it.
TEST_F(ContextTest, TheContextThatRunsIsCountedAndNotTheModelsLongest) {
  Class("");
  const std::string artifact = Offer("q8_0", 1000);
  const v1::RolloutDevice row = RowOf(FakeDevice("pc", 2048));
  EXPECT_EQ(row.artifact(), artifact) << row.reason();
  EXPECT_EQ(row.context().tokens(), 4096u);
  EXPECT_EQ(row.context().kv_type(), "f16");
  EXPECT_EQ(row.memory(),
            "1000.0 MiB weights + 128.0 MiB cache (4096 tokens, f16) + 0 B buffers = 1.1 GiB");
  EXPECT_EQ(row.reason(), "");
  EXPECT_EQ(Told().context().SerializeAsString(), row.context().SerializeAsString());
}

TEST_F(ContextTest, AClassChoosesContextAndCache) {
  Class("context = 16384\nkv_type = \"q8_0\"");
  Offer("q8_0", 1000);
  const v1::RolloutDevice row = RowOf(FakeDevice("pc", 2048));
  EXPECT_EQ(Told().context().tokens(), 16384u);
  EXPECT_EQ(Told().context().kv_type(), "q8_0");
  EXPECT_THAT(row.memory(), Names("272.0 MiB", "16384", "q8_0"));
}

TEST_F(ContextTest, AShorterContextGoesBeforeASmallerPrecision) {
  Class("context = 32768\nmin_context = 4096");
  const std::string own = Offer("q8_0", 1000);
  const std::string smaller = Offer("q4_0", 500);
  const v1::RolloutDevice row = RowOf(FakeDevice("pc", 1512));  // 512 MiB of cache: 16384 tokens
  EXPECT_EQ(row.artifact(), own);
  EXPECT_EQ(row.context().tokens(), 16384u);
  EXPECT_EQ(row.context().min_tokens(), 4096u);
  EXPECT_THAT(
      row.reason(),
      StartsWith(
          "the context is 16384 tokens instead of 32768: that would need 1000.0 MiB weights"));
  EXPECT_THAT(row.reason(), HasSubstr("1.5 GiB"));
  EXPECT_EQ(row.step_down_size(), 1);

  const v1::RolloutDevice less = RowOf(FakeDevice("pc", 1100));  // 3200 tokens are below the least
  EXPECT_EQ(less.artifact(), smaller);
  EXPECT_EQ(less.context().tokens(), 19200u);
  EXPECT_THAT(less.reason(),
              StartsWith("a smaller precision, and the context is 19200 tokens instead of 32768"));
}

TEST_F(ContextTest, WhatNoDeviceHoldsIsSaidWithTheLongestThatFits) {
  Class("context = 32768");
  Offer("q8_0", 1000);
  const v1::RolloutDevice row = RowOf(FakeDevice("pc", 1512));
  EXPECT_THAT(row.reason(), Names("1000.0 MiB", "1.0 GiB", "32768", "f16"));
  EXPECT_THAT(row.reason(), Names("1.5 GiB", "16384"));
  EXPECT_THAT(RowOf(FakeDevice("pc", 512)).reason(), HasSubstr("no context fits"));
}

TEST_F(ContextTest, HeadRoomIsTakenOffTheDevicesMemory) {
  Class("memory_headroom = 2.0");
  Offer("q8_0", 1000);
  EXPECT_THAT(RowOf(FakeDevice("pc", 2048)).reason(), Names("2.0 GiB", "1.0 GiB", "class own"));
}

TEST_F(ContextTest, AContextThatTheModelDoesNotTakeIsRefusedUnlessAShorterOneWillDo) {
  Class("context = 8192");
  Offer("q8_0", 10, 2048);
  EXPECT_THAT(RowOf(FakeDevice("pc", 2048)).reason(), Names("class own", "8192", "2048"));
  Class("context = 8192\nmin_context = 1024");
  EXPECT_EQ(RowOf(FakeDevice("pc", 2048)).context().tokens(), 2048u);
}

// They run 4096 tokens at most, in F32, whatever they are assigned.
TEST_F(ContextTest, AnAgentOfAnEarlierContractIsCountedAsItRuns) {
  Class("context = 512\nkv_type = \"q8_0\"");
  const std::string artifact = Offer("q8_0", 1000);
  const v1::RolloutDevice row = RowOf(FakeDevice("pc", 2048), /*of_today=*/false);
  EXPECT_EQ(row.artifact(), artifact);
  EXPECT_EQ(row.memory(),
            "1000.0 MiB weights + 256.0 MiB cache (4096 tokens, f32) + 0 B buffers = 1.2 GiB");
}

TEST_F(ContextTest, AnAgentOfAnEarlierContractGetsItsRuntimesWordsFilledIn) {
  Class(
      "context = 512\nkv_type = \"q8_0\"\n[runtime]\ncommand = \"llama-server\"\n"
      "args = [\"-c\", \"{context}\", \"-ctk={kv_type}\", \"{model}\", \"{port}\"]");
  Offer("q8_0", 100);
  FakeDevice old("pc", 2048);
  old.facts.add_runtimes("llama-server");
  EXPECT_THAT(RowOf(old, false).memory(), Names("512", "q8_0"));
  EXPECT_THAT(Told().runtime().args(),
              ::testing::ElementsAre("-c", "512", "-ctk=q8_0", "{model}", "{port}"));
  FakeDevice today("pc", 2048);
  today.facts.add_runtimes("llama-server");
  RowOf(today);
  EXPECT_EQ(Told().runtime().args(1), "{context}");
}

TEST_F(ContextTest, GoingBackIsWithTheContextThatRanBefore) {
  Class("context = 2048");
  const std::string before = Offer("q8_0", 100);
  v1::RolloutDevice row = RowOf(FakeDevice("pc", 2048));
  v1::ModelStatus status = Status(row, v1::ModelStatus::HEALTHY);
  status.set_context(2048);
  status.set_kv_type("f16");
  Says(id_, {status});
  Class("context = 1024");
  const auto next = rollouts_.Create({"", "demo", {id_}, {}});
  ASSERT_OK(next);
  EXPECT_EQ(Told().context().tokens(), 1024u);
  EXPECT_EQ(Row(*next, id_).previous_context().tokens(), 2048u);
  ASSERT_OK(rollouts_.Act(next->name(), RolloutEvent::kRollBack, "").status());
  EXPECT_EQ(Told().context().tokens(), 2048u);
  EXPECT_EQ(Told().context().min_tokens(), 1u) << "back it goes, with a shorter one if it must";
  EXPECT_EQ(Told().context().kv_type(), "f16");
}

// It does not say how many tokens its model takes; 4096 were more than some do.
TEST_F(ContextTest, AnArtifactFromBeforeRunsWithTheEnginesOwnDefault) {
  Class("");
  PutArtifact("q8_0", 100);
  const v1::RolloutDevice row = RowOf(FakeDevice("pc", 2048));
  EXPECT_EQ(row.state(), v1::RolloutDevice::PENDING) << row.reason();
  EXPECT_EQ(Told().context().tokens(), 0u);
  Class("context = 1024");
  RowOf(FakeDevice("pc", 2048));
  EXPECT_EQ(Told().context().tokens(), 1024u);
}

}  // namespace
}  // namespace quantfleet::daemon
