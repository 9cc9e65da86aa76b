#include "pipeline/artifact/program/agent_program.h"

#include <gmock/gmock.h>

#include "tests/support/memory_file.h"
#include "tests/support/status_matchers.h"

namespace quantfleet::pipeline {
namespace {

// A header as System V's ABI draws it; nothing behind it is ever looked at but for the mark.
std::string ElfHeader(uint8_t machine = 62, uint8_t type = 3) {
  std::string header(kElfHeaderBytes, '\0');
  header.replace(0, 7,
                 std::string("\x7f"
                             "ELF\x02\x01\x01"));
  header[16] = static_cast<char>(type);
  header[18] = static_cast<char>(machine);
  return header;
}

std::string Mark(const std::string& version) {
  return std::string(kAgentVersionMark) + version + "\n";
}

absl::StatusOr<AgentProgram> ReadProgram(const std::string& bytes) {
  testing::MemoryFileSystem files;
  files.Put("/agent", bytes);
  return ReadAgentProgram(files, "/agent");
}

TEST(AgentProgram, TellsMachineAndVersion) {
  const auto x86 = ReadProgram(ElfHeader() + "code" + Mark("0.12.3") + "data");
  ASSERT_OK(x86);
  EXPECT_EQ(x86->architecture, "x86_64");
  EXPECT_EQ(x86->version, "0.12.3");
  const auto arm = ReadProgram(ElfHeader(183, 2) + Mark("1.0.0"));
  ASSERT_OK(arm);
  EXPECT_EQ(arm->architecture, "aarch64");
  EXPECT_EQ(arm->size, kElfHeaderBytes + Mark("1.0.0").size());
}

TEST(AgentProgram, RefusesWhatNoAgentIs) {
  const auto with = [](size_t at, char value) {
    std::string header = ElfHeader();
    header[at] = value;
    return header + Mark("1.0.0");
  };
  EXPECT_ERROR(ReadProgram(""), kInvalidArgument, "/agent");
  EXPECT_ERROR(ReadProgram("#!/bin/sh\nexec true\n" + std::string(100, ' ') + Mark("1.0.0")),
               kInvalidArgument, "ELF");
  EXPECT_ERROR(ReadProgram(with(4, 1)), kInvalidArgument, "64-bit");
  EXPECT_ERROR(ReadProgram(with(5, 2)), kInvalidArgument, "little-endian");
  EXPECT_ERROR(ReadProgram(with(7, 9)), kInvalidArgument, "OS ABI 9");  // FreeBSD
  EXPECT_ERROR(ReadProgram(with(16, 1)), kInvalidArgument, "executed");
  EXPECT_ERROR(ReadProgram(with(17, 1)), kInvalidArgument, "executed");     // of a type above 255
  EXPECT_ERROR(ReadProgram(with(18, 40)), kInvalidArgument, "machine 40");  // 32-bit ARM
  EXPECT_ERROR(ReadProgram(ElfHeader() + std::string(kAgentVersionMark) + std::string(1, '\0')),
               kInvalidArgument, "version");
  EXPECT_ERROR(ReadProgram(ElfHeader() + Mark("latest")), kInvalidArgument, "version");
}

TEST(AgentProgram, FindsTheVersionBehindMarksWithoutOneAndAcrossWindows) {
  const auto behind =
      ReadProgram(ElfHeader() + std::string(kAgentVersionMark) + "\0" + Mark("2.0.0"));
  ASSERT_OK(behind);
  EXPECT_EQ(behind->version, "2.0.0");
  constexpr size_t kMiB = 1 << 20;
  for (size_t at = kMiB - 2 * Mark("2.0.0").size(); at < kMiB + 4; ++at) {
    std::string program = ElfHeader();
    program.resize(2 * kMiB, 'x');
    program.replace(at, Mark("2.0.0").size(), Mark("2.0.0"));
    const auto read = ReadProgram(program);
    ASSERT_OK(read);
    EXPECT_EQ(read->version, "2.0.0") << at;
  }
}

TEST(AgentProgram, EveryCutIsRefusedOrTheSameProgram) {
  const std::string whole = ElfHeader() + "code" + Mark("1.2.3");
  for (size_t size = 0; size < whole.size(); ++size)
    EXPECT_FALSE(ReadProgram(whole.substr(0, size)).ok()) << size;
  EXPECT_OK(ReadProgram(whole));
}

}  // namespace
}  // namespace quantfleet::pipeline
