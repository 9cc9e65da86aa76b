#include "agent/self/launch_record.h"

#include "agent/platform/record.h"
#include "pipeline/artifact/kind.h"

namespace quantfleet::agent {
namespace {

std::string HexOf(const std::optional<Digest>& digest) { return digest ? digest->hex() : ""; }

absl::StatusOr<std::optional<Digest>> DigestField(const Record& fields, std::string_view name) {
  const std::string text = Field(fields, name);
  if (text.empty()) return std::nullopt;
  QF_ASSIGN_OR_RETURN(const Digest digest, Digest::FromHexText(text));
  return digest;
}

}  // namespace

fs::path SelfFolder(const fs::path& state) { return state / "models" / pipeline::kAgentModel; }

absl::StatusOr<LaunchRecord> LoadLaunchRecord(FileSystem& files, const fs::path& self_folder) {
  const auto fields = ReadRecord(files, self_folder / "launch.json");
  if (fields.status().code() == absl::StatusCode::kNotFound) return LaunchRecord{};
  QF_RETURN_IF_ERROR(fields.status());
  LaunchRecord record;
  QF_ASSIGN_OR_RETURN(record.program, DigestField(*fields, "program"));
  QF_ASSIGN_OR_RETURN(record.previous, DigestField(*fields, "previous"));
  QF_ASSIGN_OR_RETURN(record.given_up, DigestField(*fields, "given_up"));
  record.proven = Field(*fields, "proven") == "1";
  record.attempts = static_cast<uint32_t>(NumberField(*fields, "attempts").value_or(0));
  record.given_up_after = static_cast<uint32_t>(NumberField(*fields, "given_up_after").value_or(0));
  record.installed = Field(*fields, "installed");
  return record;
}

absl::Status SaveLaunchRecord(FileSystem& files, const fs::path& self_folder,
                              const LaunchRecord& record) {
  return WriteRecord(files, self_folder / "launch.json",
                     {{"program", HexOf(record.program)},
                      {"proven", record.proven ? "1" : "0"},
                      {"attempts", std::to_string(record.attempts)},
                      {"previous", HexOf(record.previous)},
                      {"given_up", HexOf(record.given_up)},
                      {"given_up_after", std::to_string(record.given_up_after)},
                      {"installed", record.installed.string()}});
}

}  // namespace quantfleet::agent
