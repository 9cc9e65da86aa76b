// Device classes as they are written.
#include "pipeline/device/device_class.h"

#include <gmock/gmock.h>

#include "tests/support/status_matchers.h"

namespace quantfleet::pipeline {
namespace {

using ::testing::HasSubstr;
using testing::Names;

std::string ParseError(std::string_view toml) {
  const auto spec = ParseDeviceClass(toml);
  return spec.ok() ? "parsed" : Message(spec.status());
}

constexpr std::string_view kLeast = "name = 'a'\nformat = 'gguf'\nrecipe = 'q4_0'\n";

TEST(ParseDeviceClass, CalibrationRoundingFoldsAndBytes) {
  const auto plain = ParseDeviceClass(kLeast);
  ASSERT_OK(plain);
  EXPECT_EQ(plain->calibration, "");
  EXPECT_EQ(plain->rounding, Rounding::kNearest);
  EXPECT_FALSE(plain->fold);
  EXPECT_EQ(plain->artifact_max_bytes, 0u);
  const auto folded = ParseDeviceClass(
      std::string(kLeast) + "calibration = 'self'\nfold = 'auto'\nartifact_max_bytes = 95000000\n");
  ASSERT_OK(folded);
  EXPECT_TRUE(folded->fold);
  EXPECT_EQ(folded->artifact_max_bytes, 95'000'000u);
  EXPECT_THAT(ParseError(std::string(kLeast) + "fold = 'auto'\n"), Names("fold", "calibration"));
  EXPECT_THAT(ParseError(std::string(kLeast) + "calibration = 'self'\nfold = 'yes'\n"),
              Names("fold", "auto"));
  EXPECT_THAT(ParseError(std::string(kLeast) + "artifact_max_bytes = 0\n"),
              Names("artifact_max_bytes"));
  const auto spec =
      ParseDeviceClass(std::string(kLeast) + "calibration = 'talks.txt'\nrounding = 'feedback'\n");
  ASSERT_OK(spec);
  EXPECT_EQ(spec->calibration, "talks.txt");
  EXPECT_EQ(spec->rounding, Rounding::kFeedback);
  EXPECT_OK(ParseDeviceClass(std::string(kLeast) + "calibration = 'self'\n"));
  EXPECT_OK(ParseDeviceClass(std::string(kLeast) + "rounding = 'nearest'\n"));
  EXPECT_THAT(ParseError(std::string(kLeast) + "rounding = 'feedback'\n"),
              HasSubstr("needs a calibration"));
  EXPECT_THAT(ParseError(std::string(kLeast) + "calibration = 'self'\nrounding = 'up'\n"),
              Names("rounding", "nearest"));
  for (const std::string_view name : {"", "a/b", "../a", ".a", "two words", "none"})
    EXPECT_THAT(ParseError(fmt::format("{}calibration = '{}'\n", kLeast, name)),
                HasSubstr("calibration"))
        << name;
}

constexpr char kWithRuntime[] = R"(
name = "served"
format = "onnx"
recipe = "int8"
[runtime]
command = "onnx-server"
args = ["{folder}", "--port", "{port}"]
env = { THREADS = "{threads}" }
memory_mib = 2
)";

TEST(ParseDeviceClass, ReadsARuntime) {
  const auto spec = ParseDeviceClass(kWithRuntime);
  ASSERT_OK(spec);
  ASSERT_TRUE(spec->runtime);
  EXPECT_EQ(spec->runtime->command(), "onnx-server");
  EXPECT_EQ(spec->runtime->args_size(), 3);
  EXPECT_EQ(spec->runtime->env().at("THREADS"), "{threads}");
  EXPECT_EQ(spec->runtime->memory_bytes(), 2u << 20);
  EXPECT_EQ(spec->runtime->health_path(), "/health");
  EXPECT_EQ(spec->runtime->start_timeout_seconds(), 120u);
  EXPECT_EQ(spec->runtime->restarts(), 5u);
  const auto without = ParseDeviceClass("name = \"a\"\nformat = \"gguf\"\nrecipe = \"q4_0\"\n");
  ASSERT_OK(without);
  EXPECT_FALSE(without->runtime);
}

TEST(ParseDeviceClass, RefusesARuntimeThatCannotBe) {
  const std::string head = "name = \"a\"\nformat = \"gguf\"\nrecipe = \"q4_0\"\n[runtime]\n";
  EXPECT_ERROR(ParseDeviceClass(head + "args = [\"{port}\"]"), kInvalidArgument, "runtime.command");
  EXPECT_ERROR(ParseDeviceClass(head + "command = \"/bin/sh\"\nargs = [\"{port}\"]"),
               kInvalidArgument, "--allow-runtime");
  EXPECT_ERROR(ParseDeviceClass(head + "command = \"s\""), kInvalidArgument, "{port}");
  EXPECT_ERROR(
      ParseDeviceClass(head + "command = \"s\"\nargs = [\"{port}\"]\nenv = { LD_PRELOAD = \"x\" }"),
      kInvalidArgument, "LD_PRELOAD");
  EXPECT_ERROR(ParseDeviceClass(head + "comand = \"s\""), kInvalidArgument, "comand");
}

TEST(ParseDeviceClass, ReadsEveryField) {
  const auto spec = ParseDeviceClass(R"(
name = "lab"
description = "d"
format = "gguf"
recipe = "f16"
priority = -3
memory_headroom = 2
[match]
arch = ["a", "b"]
form = ["pc"]
min_memory_mib = 1
max_memory_mib = 2
any_instruction_set = ["x"]
all_instruction_sets = ["y", "z"]
any_accelerator = ["npu"]
any_runtime = ["mlx"]
power = ["mains"]
link = ["ethernet"]
min_cores = 3
min_disk_free_mib = 4
min_memory_bandwidth_gbps = 5.5
min_kernel_gops = 6
labels = { site = "lab" }
)");
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->priority, -3);
  EXPECT_EQ(spec->memory_headroom, 2.0);
  EXPECT_EQ(spec->match.arch, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(spec->match.max_memory_mib, 2u);
  EXPECT_EQ(spec->match.all_instruction_sets.size(), 2u);
  EXPECT_EQ(spec->match.any_runtime, std::vector<std::string>{"mlx"});
  EXPECT_EQ(spec->match.power, std::vector<std::string>{"mains"});
  EXPECT_EQ(spec->match.link, std::vector<std::string>{"ethernet"});
  EXPECT_EQ(spec->match.min_cores, 3u);
  EXPECT_EQ(spec->match.min_disk_free_mib, 4u);
  EXPECT_EQ(spec->match.min_memory_bandwidth_gbps, 5.5);
  EXPECT_EQ(spec->match.min_kernel_gops, 6);
  EXPECT_EQ(spec->match.labels.at("site"), "lab");
}

TEST(ParseDeviceClass, ContextAndKvCache) {
  const std::string least(kLeast);
  const auto plain = ParseDeviceClass(least);
  ASSERT_OK(plain);
  EXPECT_EQ(plain->context.tokens(), 0u);
  EXPECT_EQ(plain->context.kv_type(), "");
  const auto spec =
      ParseDeviceClass(least + "context = 8192\nmin_context = 2048\nkv_type = 'q8_0'\n");
  ASSERT_OK(spec);
  EXPECT_EQ(spec->context.tokens(), 8192u);
  EXPECT_EQ(spec->context.min_tokens(), 2048u);
  EXPECT_EQ(spec->context.kv_type(), "q8_0");
  EXPECT_THAT(ParseError(least + "context = 0\n"), HasSubstr("line 4: context "));
  EXPECT_THAT(ParseError(least + "context = 1024\nmin_context = 2048\n"),
              Names("min_context 2048", "context 1024"));
  EXPECT_THAT(ParseError(least + "min_context = 8192\n"),
              Names("min_context 8192", "context 4096"));
  EXPECT_THAT(ParseError(least + "kv_type = 'q4_0'\n"), Names("kv_type", "f16, q8_0 or f32"));
  EXPECT_THAT(ParseError("name = 'a'\nformat = 'onnx'\nrecipe = 'int8'\nkv_type = 'f16'\n"),
              Names("kv_type", "gguf"));
}

TEST(ParseDeviceClass, RefusesWithLineAndKey) {
  const std::string least(kLeast);
  EXPECT_EQ(ParseError(least), "parsed");
  EXPECT_THAT(ParseError(least + "[match]\nmemory = 3\n"), Names("line 5", "match.memory"));
  EXPECT_THAT(ParseError(least + "colour = 'red'\n"), Names("line 4", "colour"));
  EXPECT_THAT(ParseError(least + "priority = 'high'\n"), Names("line 4", "priority"));
  EXPECT_THAT(ParseError(least + "memory_headroom = nan\n"), Names("line 4", "memory_headroom"));
  EXPECT_THAT(ParseError(least + "match = 3\n"), HasSubstr("line 4: match "));
  EXPECT_THAT(ParseError(least + "[match]\nform = 'pc'\n"), Names("line 5", "match.form"));
  EXPECT_THAT(ParseError(least + "[match]\nform = ['pc', 3]\n"), Names("line 5", "match.form"));
  EXPECT_THAT(ParseError(least + "[match]\nmin_memory_mib = -1\n"),
              HasSubstr("match.min_memory_mib"));
  EXPECT_THAT(ParseError(least + "[match]\nlabels = { a = 1 }\n"), HasSubstr("match.labels.a"));
  EXPECT_THAT(ParseError(least + "'match.form' = ['pc']\n"), Names("line 4", "\"match.form\""));
  EXPECT_THAT(ParseError("name = 'a'\nformat = 'gguf'\n"), HasSubstr("recipe"));
  EXPECT_THAT(ParseError("name = 'A b'\nformat = 'gguf'\nrecipe = 'f16'\n"), HasSubstr("a-z"));
  EXPECT_THAT(ParseError("name = \n"), HasSubstr("line 1"));
  EXPECT_THAT(ParseError(std::string(70000, '#')), HasSubstr("65536"));
}

}  // namespace
}  // namespace quantfleet::pipeline
