// What a program says about itself without being run: the machine that its ELF header names, and
// the agent's version, which it contains as the text "quantfleet-agent-version=X.Y.Z\n". Hostile
// files are refused.
#pragma once

#include <string>
#include <string_view>

#include "common/base/bytes.h"
#include "common/base/file.h"
#include "common/base/status.h"

namespace quantfleet::pipeline {

inline constexpr std::string_view kAgentVersionMark = "quantfleet-agent-version=";

struct AgentProgram {
  std::string architecture;  // as HardwareFacts.arch has it: "x86_64", "aarch64"
  std::string version;       // as ParseVersion (common/base/version.h) takes it
  uint64_t size = 0;         // of the file, in bytes
};

inline constexpr size_t kElfHeaderBytes = 64;
// Of a file that begins with these bytes. INVALID_ARGUMENT: no 64-bit little-endian Linux
// executable (ET_EXEC or ET_DYN), or one for a machine that no agent is built for. Source: System V
// ABI, "ELF Header".
absl::StatusOr<std::string> ElfArchitecture(ByteSpan header);

// INVALID_ARGUMENT names the file and says what is wrong with it.
absl::StatusOr<AgentProgram> ReadAgentProgram(FileSystem& files, const fs::path& path);

}  // namespace quantfleet::pipeline
