#include "pipeline/artifact/program/agent_program.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "common/base/version.h"

namespace quantfleet::pipeline {
namespace {

constexpr uint64_t kMaxProgramBytes = uint64_t{1} << 30;
constexpr size_t kWindow = 1 << 20;
constexpr size_t kMaxVersion = 24;  // of the longest version and its line's end

constexpr uint16_t kExecutable = 2, kShared = 3;         // e_type: ET_EXEC, ET_DYN
constexpr uint16_t kMachineX86 = 62, kMachineArm = 183;  // e_machine: EM_X86_64, EM_AARCH64

uint16_t Half(ByteSpan bytes, size_t at) {
  return static_cast<uint16_t>(std::to_integer<unsigned>(bytes[at]) |
                               std::to_integer<unsigned>(bytes[at + 1]) << 8);
}

// The version behind the first mark that one stands behind: whoever looks for marks holds one
// without a version.
std::optional<std::string> FindVersion(std::string_view text) {
  for (size_t at = text.find(kAgentVersionMark); at != std::string_view::npos;
       at = text.find(kAgentVersionMark, at + 1)) {
    const std::string_view rest = text.substr(at + kAgentVersionMark.size(), kMaxVersion);
    const std::string_view version = rest.substr(0, rest.find('\n'));
    if (version.size() < rest.size() && ParseVersion(version)) return std::string(version);
  }
  return std::nullopt;
}

}  // namespace

absl::StatusOr<std::string> ElfArchitecture(ByteSpan header) {
  constexpr std::string_view kMagic =
      "\x7f"
      "ELF";
  if (header.size() < kElfHeaderBytes ||
      std::memcmp(header.data(), kMagic.data(), kMagic.size()) != 0)
    return InvalidArgument("it is not an ELF program");
  const auto byte = [&](size_t at) { return std::to_integer<int>(header[at]); };
  if (byte(4) != 2 || byte(5) != 1 || byte(6) != 1)  // ELFCLASS64, ELFDATA2LSB, EV_CURRENT
    return InvalidArgument("it is not a 64-bit little-endian ELF program of version 1");
  if (byte(7) != 0 && byte(7) != 3)  // ELFOSABI_NONE, ELFOSABI_GNU
    return InvalidArgument("it is a program for a system other than Linux (OS ABI {})", byte(7));
  const uint16_t type = Half(header, 16), machine = Half(header, 18);
  if (type != kExecutable && type != kShared)
    return InvalidArgument("it is an ELF file of type {}, which cannot be executed", type);
  if (machine == kMachineX86) return "x86_64";
  if (machine == kMachineArm) return "aarch64";
  return InvalidArgument(
      "it is for ELF machine {}: only x86_64 ({}) and aarch64 ({}) are supported", machine,
      kMachineX86, kMachineArm);
}

absl::StatusOr<AgentProgram> ReadAgentProgram(FileSystem& files, const fs::path& path) {
  QF_ASSIGN_OR_RETURN(const auto file, files.Open(path, OpenMode::kOutside));
  AgentProgram program;
  QF_ASSIGN_OR_RETURN(program.size, file->Size());
  if (program.size < kElfHeaderBytes || program.size > kMaxProgramBytes)
    return InvalidArgument("{}: a program must have {} to {} bytes, not {}", path.string(),
                           kElfHeaderBytes, kMaxProgramBytes, program.size);
  Bytes window(std::min<uint64_t>(program.size, kWindow));
  // Windows overlap by what a mark with its version takes, so that none is cut.
  constexpr size_t kOverlap = kAgentVersionMark.size() + kMaxVersion;
  std::optional<std::string> version;
  for (uint64_t at = 0; !version; at += kWindow - kOverlap) {
    const auto part =
        MutableBytes(window).first(std::min<uint64_t>(window.size(), program.size - at));
    QF_RETURN_IF_ERROR(file->ReadAt(at, part));
    if (at == 0) {
      auto architecture = ElfArchitecture(part);
      if (!architecture.ok())
        return InvalidArgument("{}: {}", path.string(), Message(architecture.status()));
      program.architecture = *std::move(architecture);
    }
    version = FindVersion(AsText(part));
    if (at + part.size() == program.size) break;
  }
  if (!version)
    return InvalidArgument(
        "{}: not a quantfleet-agent that can update itself: it contains no version", path.string());
  program.version = *std::move(version);
  return program;
}

}  // namespace quantfleet::pipeline
