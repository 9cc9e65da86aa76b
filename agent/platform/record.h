// Small durable records: one flat JSON object of strings per file, replaced as a whole. Thread-safe
// as FileSystem is.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/file.h"
#include "common/base/status.h"

namespace quantfleet::agent {

using Record = std::map<std::string, std::string, std::less<>>;

// NOT_FOUND when there is no such file; DATA_LOSS names the file when it is not a flat JSON object
// of strings.
absl::StatusOr<Record> ReadRecord(FileSystem& files, const fs::path& path);
// The old record or the new one, durable on return.
absl::Status WriteRecord(FileSystem& files, const fs::path& path, const Record& record,
                         OpenMode mode = OpenMode::kCreate);

// "" when the field is absent.
std::string Field(const Record& record, std::string_view name);
// nullopt when the field is absent or not a decimal number.
std::optional<uint64_t> NumberField(const Record& record, std::string_view name);

}  // namespace quantfleet::agent
