#include "daemon/fleet/device_class.h"

#include <gmock/gmock.h>

#include <functional>
#include <limits>

#include "tests/support/status_matchers.h"

namespace quantfleet::daemon {
namespace {

using ::testing::HasSubstr;
using testing::Names;

v1::HardwareFacts Machine(std::string form, uint64_t memory_mib,
                          std::vector<std::string> isa = {"avx2"}) {
  v1::HardwareFacts facts;
  facts.set_arch("x86_64");
  facts.set_form(std::move(form));
  facts.set_memory_total_bytes(memory_mib << 20);
  for (std::string& s : isa) facts.add_instruction_sets(std::move(s));
  return facts;
}

std::vector<DeviceClassSpec> Shipped() {
  std::vector<DeviceClassSpec> specs;
  for (const ShippedClass& shipped : ShippedClasses()) {
    auto spec = ParseDeviceClass(shipped.toml);
    EXPECT_TRUE(spec.ok()) << shipped.name << ": " << spec.status();
    if (spec.ok()) specs.push_back(*std::move(spec));
  }
  return specs;
}

std::string ParseError(std::string_view toml) {
  const auto spec = ParseDeviceClass(toml);
  return spec.ok() ? "parsed" : Message(spec.status());
}

constexpr std::string_view kLeast = "name = 'a'\nformat = 'gguf'\nrecipe = 'q4_0'\n";

TEST(DeviceClass, LimitsOfQualityAndHealth) {
  const auto plain = ParseDeviceClass(kLeast);
  ASSERT_TRUE(plain.ok());
  EXPECT_FALSE(WhyNotGoodEnough(plain->quality, nullptr)) << "no limit, no measure needed";
  EXPECT_EQ(plain->health.min_golden_agreement(), 0.75);

  const auto spec = ParseDeviceClass(std::string(kLeast) + R"(
[quality]
max_nll_increase = 0.1
min_top1_agreement = 0.9
max_kl = 0.05
max_kl_p99 = 0.5
[health]
min_golden_agreement = 1
min_tokens_per_second = 4.5
min_memory_available_mib = 64
soak_seconds = 90
[network]
max_kib_per_second = 128
budget_mib = 500
)");
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->health.min_golden_agreement(), 1);
  EXPECT_EQ(spec->health.min_tokens_per_second(), 4.5);
  EXPECT_EQ(spec->health.min_memory_available_bytes(), 64u << 20);
  EXPECT_EQ(spec->health.soak_seconds(), 90u);
  EXPECT_EQ(spec->network.max_bytes_per_second(), 128u << 10);
  EXPECT_EQ(spec->network.budget_bytes(), 500u << 20);
  EXPECT_EQ(spec->network.budget_days(), 30u);
  EXPECT_EQ(plain->network.ByteSizeLong(), 0u);
  EXPECT_TRUE(plain->step_down);
  EXPECT_TRUE(plain->step_up);

  EXPECT_THAT(WhyNotGoodEnough(spec->quality, nullptr).value_or(""), HasSubstr("not measured"));
  v1::EvaluationStatement good;
  EXPECT_THAT(WhyNotGoodEnough(spec->quality, &good).value_or(""), HasSubstr("not measured"))
      << "golden answers alone, because the text was not of the model's kind";
  good.set_tokens(255);
  good.set_reference_mean_nll(2.0);
  good.set_mean_nll(2.1 - 1e-9);
  good.set_top1_agreement(0.9);
  good.set_mean_kl(0.05);
  good.set_kl_p99(0.5);
  EXPECT_FALSE(WhyNotGoodEnough(spec->quality, &good));
  v1::EvaluationStatement bad = good;
  bad.set_mean_nll(2.2);
  EXPECT_THAT(WhyNotGoodEnough(spec->quality, &bad).value_or(""), HasSubstr("0.2000"));
  bad = good;
  bad.set_top1_agreement(0.8);
  EXPECT_THAT(WhyNotGoodEnough(spec->quality, &bad).value_or(""), Names("80.0 %", "90.0 %"));
  bad = good;
  bad.set_mean_kl(std::numeric_limits<double>::quiet_NaN());
  EXPECT_THAT(WhyNotGoodEnough(spec->quality, &bad).value_or(""), HasSubstr("KL"));

  bad = good;
  bad.set_kl_p99(0.6);
  EXPECT_THAT(WhyNotGoodEnough(spec->quality, &bad, "the plan").value_or(""),
              Names("0.6000", "the plan", "0.5000"));

  EXPECT_THAT(ParseError(std::string(kLeast) + "[health]\nmin_golden_agreement = 1.5\n"),
              HasSubstr("health.min_golden_agreement"));
  EXPECT_THAT(ParseError(std::string(kLeast) + "[quality]\nmax_loss = 1\n"),
              HasSubstr("quality.max_loss"));
}

TEST(ShippedClasses, ParseAndBearTheirFilesNames) {
  std::map<std::string, std::string> recipes;
  for (const ShippedClass& shipped : ShippedClasses()) {
    const auto spec = ParseDeviceClass(shipped.toml);
    ASSERT_TRUE(spec.ok()) << spec.status();
    EXPECT_EQ(spec->name, shipped.name);
    recipes[spec->name] = spec->format + ":" + spec->recipe;
  }
  const std::map<std::string, std::string> want = {{"iot-int4", "gguf:iq4_nl"},
                                                   {"mobile-int4", "gguf:iq4_nl"},
                                                   {"ai-pc-int8", "gguf:q8_0"},
                                                   {"edge-fp16", "gguf:f16"},
                                                   {"ai-pc-onnx-int8", "onnx:int8"},
                                                   {"mobile-onnx-int4", "onnx:int4-asym"},
                                                   {"ai-pc-openvino-int4", "openvino:int4-asym"},
                                                   {"mac-mlx-int4", "mlx:int4-g64-asym"}};
  EXPECT_EQ(recipes, want);
}

TEST(ShippedClasses, MachinesFindTheirClass) {
  const auto classes = Shipped();
  EXPECT_EQ(MatchClass(Machine("iot", 1024), {}, classes).name, "iot-int4");
  EXPECT_EQ(MatchClass(Machine("mobile", 6144), {}, classes).name, "mobile-int4");
  EXPECT_EQ(MatchClass(Machine("pc", 16384), {}, classes).name, "ai-pc-int8");
  EXPECT_EQ(MatchClass(Machine("edge", 32768), {}, classes).name, "edge-fp16");
  EXPECT_EQ(MatchClass(Machine("", 16384), {}, classes).name, "ai-pc-int8");
  EXPECT_EQ(MatchClass(Machine("", 1024), {}, classes).name, "iot-int4");
}

TEST(ShippedClasses, OtherRuntimesAreForDevicesThatAllowThem) {
  const auto classes = Shipped();
  const auto with = [](v1::HardwareFacts facts, const char* runtime) {
    facts.add_runtimes(runtime);
    return facts;
  };
  const v1::HardwareFacts pc = Machine("pc", 16384), mobile = Machine("mobile", 6144),
                          edge = Machine("edge", 32768);
  EXPECT_EQ(MatchClass(with(pc, "onnxruntime-genai"), {}, classes).name, "ai-pc-onnx-int8");
  EXPECT_EQ(MatchClass(with(mobile, "onnxruntime-genai"), {}, classes).name, "mobile-onnx-int4");
  EXPECT_EQ(MatchClass(with(pc, "openvino-genai"), {}, classes).name, "ai-pc-openvino-int4");
  EXPECT_EQ(MatchClass(with(edge, "openvino-genai"), {}, classes).name, "edge-fp16");
  EXPECT_EQ(MatchClass(with(pc, "mlx-lm"), {}, classes).name, "mac-mlx-int4");
  // Installed is not allowed.
  v1::HardwareFacts found = pc;
  found.add_runtimes_found("openvino-genai");
  EXPECT_EQ(MatchClass(found, {{"runtime", "openvino"}}, classes).name, "ai-pc-int8");
  for (const ShippedClass& shipped : ShippedClasses()) {
    const auto spec = ParseDeviceClass(shipped.toml);
    ASSERT_OK(spec);
    EXPECT_EQ(spec->format != "gguf", spec->runtime.has_value()) << spec->name;
  }
}

TEST(MatchClass, SaysWhyNotTheOthers) {
  const ClassMatch match = MatchClass(Machine("edge", 2048), {}, Shipped());
  EXPECT_EQ(match.name, "");
  EXPECT_THAT(match.reason, Names("edge-fp16", "8192", "2048"));
  EXPECT_THAT(match.reason, Names("iot-int4", "iot or unknown"));
}

TEST(MatchClass, HighestPriorityWinsThenName) {
  std::vector<DeviceClassSpec> classes(3);
  classes[0].name = "b";
  classes[1].name = "a";
  classes[2].name = "top";
  classes[2].priority = 1;
  EXPECT_EQ(MatchClass({}, {}, classes).name, "top");
  EXPECT_THAT(MatchClass({}, {}, classes).reason, HasSubstr("a: also"));
  classes.pop_back();
  EXPECT_EQ(MatchClass({}, {}, classes).name, "a");
}

TEST(MatchClass, ARuntimeHasToBeAllowedOnTheDevice) {
  const auto spec = ParseDeviceClass(
      "name = 'served'\nformat = 'onnx'\nrecipe = 'int8'\n[runtime]\ncommand = 'onnx-server'\n"
      "args = ['{port}']\n");
  ASSERT_OK(spec);
  v1::HardwareFacts facts = Machine("pc", 1);
  const ClassMatch without = MatchClass(facts, {}, {*spec});
  EXPECT_EQ(without.name, "");
  EXPECT_THAT(without.reason, HasSubstr("--allow-runtime onnx-server="));
  facts.add_runtimes("onnx-server");
  EXPECT_EQ(MatchClass(facts, {}, {*spec}).name, "served");
}

TEST(MatchClass, EachRuleCanRefuse) {
  DeviceClassSpec spec;
  spec.name = "c";
  const auto reason = [&](const v1::HardwareFacts& facts, const Labels& labels = {}) {
    const ClassMatch match = MatchClass(facts, labels, {spec});
    return match.name.empty() ? match.reason : "fits";
  };
  spec.match.arch = {"aarch64"};
  EXPECT_THAT(reason(Machine("pc", 1)), Names("aarch64", "x86_64"));
  spec.match = {};
  spec.match.max_memory_mib = 100;
  EXPECT_EQ(reason(Machine("pc", 100)), "fits");
  EXPECT_THAT(reason(Machine("pc", 101)), HasSubstr("100 MiB"));
  spec.match = {};
  spec.match.all_instruction_sets = {"avx2", "avx512f"};
  EXPECT_THAT(reason(Machine("pc", 1)), HasSubstr("avx512f"));
  EXPECT_EQ(reason(Machine("pc", 1, {"avx512f", "avx2"})), "fits");
  spec.match = {};
  spec.match.any_instruction_set = {"neon", "sve"};
  EXPECT_THAT(reason(Machine("pc", 1)), Names("neon", "sve"));
  spec.match = {};
  spec.match.any_accelerator = {"gpu"};
  v1::HardwareFacts with_gpu = Machine("pc", 1);
  with_gpu.add_accelerators("gpu:nvidia");
  EXPECT_EQ(reason(with_gpu), "fits");
  EXPECT_THAT(reason(Machine("pc", 1)), HasSubstr("accelerator gpu"));
  spec.match = {};
  spec.match.labels = {{"site", "lab"}};
  EXPECT_EQ(reason(Machine("pc", 1), {{"site", "lab"}, {"x", "y"}}), "fits");
  EXPECT_THAT(reason(Machine("pc", 1)), HasSubstr("site=lab"));
  EXPECT_THAT(reason(Machine("pc", 1), {{"site", "shop"}}), Names("site=lab", "shop"));
}

TEST(MatchClass, MeasuredAndFoundFactsDecideToo) {
  DeviceClassSpec spec;
  spec.name = "c";
  v1::HardwareFacts facts = Machine("pc", 1);
  facts.set_cores(4);
  facts.set_disk_free_bytes(uint64_t{10} << 30);
  facts.set_memory_bandwidth_gbps(12.5);
  facts.set_kernel_gops(20);
  facts.set_power("battery");
  facts.set_link("wifi");
  facts.add_runtimes_found("llama-server");
  const auto reason = [&](const std::function<void(ClassRules&)>& set) {
    spec.match = {};
    set(spec.match);
    const ClassMatch match = MatchClass(facts, {}, {spec});
    return match.name.empty() ? match.reason : "fits";
  };
  EXPECT_EQ(reason([](ClassRules& rules) {
              rules.any_runtime = {"openvino", "llama-server"};
              rules.power = {"battery"};
              rules.link = {"ethernet", "wifi"};
              rules.min_cores = 4;
              rules.min_disk_free_mib = 10 << 10;
              rules.min_memory_bandwidth_gbps = 12.5;
              rules.min_kernel_gops = 20;
            }),
            "fits");
  EXPECT_THAT(reason([](ClassRules& rules) { rules.any_runtime = {"openvino", "mlx"}; }),
              Names("openvino", "mlx"));
  EXPECT_THAT(reason([](ClassRules& rules) { rules.power = {"mains"}; }),
              Names("mains", "battery"));
  EXPECT_THAT(reason([](ClassRules& rules) { rules.link = {"ethernet"}; }),
              Names("ethernet", "wifi"));
  EXPECT_THAT(reason([](ClassRules& rules) { rules.min_cores = 5; }), Names("5 cores", "has 4"));
  EXPECT_THAT(reason([](ClassRules& rules) { rules.min_disk_free_mib = 10241; }),
              Names("10241", "10240"));
  EXPECT_THAT(reason([](ClassRules& rules) { rules.min_memory_bandwidth_gbps = 13; }),
              Names("13 GB/s", "12.50"));
  EXPECT_THAT(reason([](ClassRules& rules) { rules.min_kernel_gops = 21; }),
              HasSubstr("21 billion"));
}

}  // namespace
}  // namespace quantfleet::daemon
