#include <gmock/gmock.h>

#include <fstream>

#include "agent/platform/hardware.h"
#include "agent/platform/record.h"
#include "agent/platform/state_lock.h"
#include "tests/support/temp_dir.h"

namespace quantfleet::agent {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class FactsTest : public ::testing::Test {
 protected:
  void Put(const std::string& path, std::string_view text) {
    fs::create_directories((dir_ / path).parent_path());
    std::ofstream(dir_ / path, std::ios::binary) << text;
  }
  v1::HardwareFacts Find() {
    return MakeHardware(RealFileSystem(), dir_.path())->Find(dir_.path());
  }

  testing::TempDir dir_;
};

TEST_F(FactsTest, PcWithNvidia) {
  Put("proc/cpuinfo",
      "processor\t: 0\nmodel name\t: Some CPU @ 3GHz\nflags\t\t: fpu sse4_2 avx2 fma f16c "
      "avx512_vnni\n\n"
      "processor\t: 1\nmodel name\t: Some CPU @ 3GHz\nflags\t\t: fpu\n");
  Put("proc/meminfo",
      "MemTotal:       16000 kB\nMemFree:        100 kB\nMemAvailable:   9000 kB\n");
  Put("sys/class/dmi/id/chassis_type", "10\n");
  Put("sys/class/drm/card0/device/vendor", "0x10de\n");
  Put("sys/class/drm/card0-HDMI-1/device/vendor", "0x1002\n");
  Put("sys/class/accel/accel0/device/vendor", "0x8086\n");
  const v1::HardwareFacts facts = Find();
  EXPECT_EQ(facts.cores(), 2u);
  EXPECT_EQ(facts.cpu_model(), "Some CPU @ 3GHz");
  EXPECT_THAT(facts.instruction_sets(), ElementsAre("sse4.2", "avx2", "fma", "f16c", "avx512vnni"));
  EXPECT_EQ(facts.memory_total_bytes(), 16000u << 10);
  EXPECT_EQ(facts.memory_available_bytes(), 9000u << 10);
  EXPECT_EQ(facts.form(), "pc");
  EXPECT_THAT(facts.accelerators(), ElementsAre("gpu:nvidia", "npu:intel"));
  EXPECT_GT(facts.disk_free_bytes(), 0u);
  EXPECT_EQ(facts.os(), "linux");
}

TEST_F(FactsTest, BoardInAContainer) {
  Put("proc/cpuinfo", "processor\t: 0\nFeatures\t: fp asimd crc32 asimddp\n");
  Put("proc/meminfo", "MemTotal:       4000000 kB\nMemAvailable:   3000000 kB\n");
  Put("proc/device-tree/model", std::string_view("Raspberry Pi 5\0", 15));
  Put("sys/fs/cgroup/memory.max", "536870912\n");
  const v1::HardwareFacts facts = Find();
  EXPECT_THAT(facts.instruction_sets(), ElementsAre("neon", "dotprod"));
  EXPECT_EQ(facts.form(), "iot");
  EXPECT_EQ(facts.cpu_model(), "Raspberry Pi 5");
  EXPECT_EQ(facts.memory_total_bytes(), 512u << 20);
}

TEST_F(FactsTest, ServerOfAarch64) {
  Put("proc/cpuinfo",
      "processor\t: 0\nBogoMIPS\t: 2100.00\n"
      "Features\t: fp asimd aes pmull sha1 sha2 crc32 atomics fphp asimdhp asimddp sve i8mm bf16\n"
      "CPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x1\nCPU part\t: 0xd40\nCPU "
      "revision\t: 1\n\n"
      "processor\t: 1\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n");
  const v1::HardwareFacts facts = Find();
  EXPECT_THAT(facts.instruction_sets(),
              ElementsAre("neon", "fp16", "dotprod", "i8mm", "bf16", "sve"));
  EXPECT_EQ(facts.cpu_model(), "arm 0x41:0xd40");
  EXPECT_EQ(facts.cores(), 2u);
}

TEST_F(FactsTest, PowerAndLink) {
  EXPECT_EQ(Find().power(), "mains") << "a machine without a battery";
  Put("sys/class/power_supply/BAT0/type", "Battery\n");
  Put("sys/class/power_supply/BAT0/capacity", "57\n");
  Put("sys/class/power_supply/AC/type", "Mains\n");
  Put("sys/class/power_supply/AC/online", "0\n");
  Put("sys/class/power_supply/hid-mouse/type", "Battery\n");
  Put("sys/class/power_supply/hid-mouse/scope", "Device\n");
  Put("sys/class/power_supply/hid-mouse/capacity", "3\n");
  EXPECT_EQ(Find().power(), "battery");
  EXPECT_EQ(Find().battery_percent(), 57u);
  Put("sys/class/power_supply/AC/online", "1\n");
  EXPECT_EQ(Find().power(), "mains");

  EXPECT_EQ(Find().link(), "");
  Put("proc/net/route",
      "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n"
      "wlan0\t00000000\t0100A8C0\t0003\t0\t0\t600\t00000000\n"
      "eth0\t00000000\t0100A8C0\t0003\t0\t0\t100\t00000000\n"
      "eth0\t0000A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\n");
  Put("sys/class/net/eth0/type", "1\n");
  Put("sys/class/net/eth0/speed", "2500\n");
  EXPECT_EQ(Find().link(), "ethernet");
  EXPECT_EQ(Find().link_mbps(), 2500u);
  Put("proc/net/route", "Iface\nwlan0\t00000000\t0100A8C0\t0003\t0\t0\t600\n");
  Put("sys/class/net/wlan0/wireless/x", "");
  Put("sys/class/net/wlan0/speed", "-1\n");
  EXPECT_EQ(Find().link(), "wifi");
  EXPECT_EQ(Find().link_mbps(), 0u);
  Put("proc/net/route",
      "Iface\nwwan0\t00000000\t0100A8C0\t0003\t0\t0\t600\n../x\t00000000\t0\t0003\t0\t0\t1\n");
  EXPECT_EQ(Find().link(), "") << "no name of an interface";
  Put("proc/net/route", "Iface\nwwan0\t00000000\t0100A8C0\t0003\t0\t0\t600\n");
  EXPECT_EQ(Find().link(), "cellular");
}

TEST_F(FactsTest, RuntimesThatAreInstalled) {
  EXPECT_THAT(Find().runtimes_found(), ElementsAre());
  Put("usr/bin/llama-server", "");
  Put("usr/lib/x86_64-linux-gnu/libonnxruntime.so.1.21", "");
  Put("opt/intel/openvino/runtime/lib/intel64/libopenvino.so.2530", "");
  EXPECT_THAT(Find().runtimes_found(), ElementsAre("llama-server", "onnxruntime", "openvino"));
  EXPECT_THAT(Find().runtimes(), ElementsAre("embedded")) << "its owner has not said so";
}

// The same machine is the same id, whoever asks and however its vendor spells the number; what many
// boards share is none.
TEST_F(FactsTest, AMachineIsKnownByItsSerialNumber) {
  EXPECT_EQ(Find().hardware_id(), "");
  Put("proc/device-tree/serial-number", std::string_view("10000000abcdef01\0", 17));
  const std::string board = Find().hardware_id();
  EXPECT_EQ(board.size(), 32u);
  EXPECT_THAT(board, Not(HasSubstr("abcdef01"))) << "the number itself stays here";
  Put("sys/class/dmi/id/product_uuid", "4C4C4544-0042-3510-8052-B4C04F4D3032\n");
  const std::string pc = Find().hardware_id();
  EXPECT_NE(pc, board);
  Put("sys/class/dmi/id/product_uuid", "4c4c4544-0042-3510-8052-b4c04f4d3032");
  EXPECT_EQ(Find().hardware_id(), pc);
  for (const char* unset :
       {"00000000-0000-0000-0000-000000000000", "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
        "03000200-0400-0500-0006-000700080009", "1234", ""}) {
    Put("sys/class/dmi/id/product_uuid", unset);
    EXPECT_EQ(Find().hardware_id(), board) << unset;
  }
}

TEST_F(FactsTest, NothingToFindIsNoError) {
  Put("sys/fs/cgroup/memory.max", "max\n");
  EXPECT_EQ(Find().form(), "");
}

TEST_F(FactsTest, ThisMachineHasCoresMemoryAndBandwidth) {
  const auto hardware = MakeHardware(RealFileSystem());
  const auto find = [&] {
    return FindFacts(RealFileSystem(), *hardware, [] { return 7.5; }, dir_.path());
  };
  const v1::HardwareFacts facts = find();
  EXPECT_GT(facts.cores(), 0u);
  EXPECT_GT(facts.memory_total_bytes(), 0u);
  EXPECT_GT(facts.memory_bandwidth_gbps(), 0.01);
  EXPECT_EQ(facts.kernel_gops(), 7.5);
  // Measured once, kept, and once more on another processor.
  Record kept{
      {"cpu_model", facts.cpu_model()}, {"memory_bandwidth_gbps", "123.5"}, {"kernel_gops", "4"}};
  ASSERT_TRUE(WriteRecord(RealFileSystem(), dir_ / "measured.json", kept).ok());
  EXPECT_DOUBLE_EQ(find().memory_bandwidth_gbps(), 123.5);
  EXPECT_DOUBLE_EQ(find().kernel_gops(), 4);
  kept["cpu_model"] = "another";
  ASSERT_TRUE(WriteRecord(RealFileSystem(), dir_ / "measured.json", kept).ok());
  EXPECT_EQ(find().kernel_gops(), 7.5);
}

TEST_F(FactsTest, OverridesReplace) {
  Put("facts-in.json",
      R"({"form": "edge", "instructionSets": ["neon"], "memory_total_bytes": "34359738368"})");
  auto overrides = ReadFactsFile(RealFileSystem(), dir_ / "facts-in.json");
  ASSERT_TRUE(overrides.ok()) << overrides.status();
  ASSERT_TRUE(AddFact("form=iot", &*overrides).ok());
  ASSERT_TRUE(AddFact("accelerators=gpu:nvidia,npu:intel", &*overrides).ok());
  ASSERT_TRUE(AddFact("memory_bandwidth_gbps=51.2", &*overrides).ok());
  v1::HardwareFacts facts;
  facts.set_arch("x86_64");
  facts.add_instruction_sets("avx2");
  Override(*overrides, &facts);
  EXPECT_EQ(facts.arch(), "x86_64") << "what is not overridden stays";
  EXPECT_EQ(facts.form(), "iot");
  EXPECT_THAT(facts.instruction_sets(), ElementsAre("neon"));
  EXPECT_THAT(facts.accelerators(), ElementsAre("gpu:nvidia", "npu:intel"));
  EXPECT_EQ(facts.memory_total_bytes(), 34359738368u);
  EXPECT_DOUBLE_EQ(facts.memory_bandwidth_gbps(), 51.2);

  ASSERT_TRUE(SaveOverrides(RealFileSystem(), dir_.path(), *overrides).ok());
  EXPECT_EQ(LoadOverrides(RealFileSystem(), dir_.path())->SerializeAsString(),
            overrides->SerializeAsString());
}

TEST_F(FactsTest, WrongOverridesAreNamed) {
  v1::HardwareFacts facts;
  EXPECT_THAT(Message(AddFact("form", &facts)), HasSubstr("key=value"));
  EXPECT_THAT(Message(AddFact("shape=iot", &facts)), HasSubstr("form"));
  for (const char* bad :
       {"cores=many", "cores=", "cores=-1", "cores=99999999999", "memory_total_bytes=2GB"})
    EXPECT_EQ(AddFact(bad, &facts).code(), absl::StatusCode::kInvalidArgument) << bad;
  Put("bad.json", R"({"shape": "iot"})");
  EXPECT_THAT(Message(ReadFactsFile(RealFileSystem(), dir_ / "bad.json").status()),
              HasSubstr("bad.json"));
}

TEST_F(FactsTest, RecordsSurviveAndDamageIsNamed) {
  const fs::path path = dir_ / "r.json";
  EXPECT_EQ(ReadRecord(RealFileSystem(), path).status().code(), absl::StatusCode::kNotFound);
  const Record record = {{"a", "1"}, {"text", "line\n\"quoted\""}};
  ASSERT_TRUE(WriteRecord(RealFileSystem(), path, record).ok());
  EXPECT_EQ(*ReadRecord(RealFileSystem(), path), record);
  EXPECT_EQ(NumberField(record, "a"), 1u);
  EXPECT_EQ(NumberField(record, "text"), std::nullopt);
  for (const char* damage : {"", "{", "[]", R"({"a": 1})"}) {
    Put("r.json", damage);
    EXPECT_EQ(ReadRecord(RealFileSystem(), path).status().code(), absl::StatusCode::kDataLoss)
        << damage;
  }
}

TEST_F(FactsTest, OneAgentPerFolder) {
  EXPECT_FALSE(IsHeld(RealFileSystem(), dir_.path()));
  {
    const auto lock = StateLock::Take(RealFileSystem(), dir_.path());
    ASSERT_TRUE(lock.ok()) << lock.status();
    EXPECT_TRUE(IsHeld(RealFileSystem(), dir_.path()));
    EXPECT_EQ(StateLock::Take(RealFileSystem(), dir_.path()).status().code(),
              absl::StatusCode::kFailedPrecondition);
  }
  EXPECT_FALSE(IsHeld(RealFileSystem(), dir_.path()));
}

}  // namespace
}  // namespace quantfleet::agent
