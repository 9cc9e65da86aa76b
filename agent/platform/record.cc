#include "agent/platform/record.h"

#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>

#include <charconv>

namespace quantfleet::agent {
namespace {

constexpr uint64_t kMaxBytes = 4 << 20;

}  // namespace

absl::StatusOr<Record> ReadRecord(FileSystem& files, const fs::path& path) {
  if (!files.Exists(path)) return NotFound("{} does not exist", path.string());
  QF_ASSIGN_OR_RETURN(const std::string text, files.ReadAll(path, kMaxBytes));
  google::protobuf::Struct object;
  const auto parsed = google::protobuf::util::JsonStringToMessage(text, &object);
  if (!parsed.ok())
    return DataLoss("{} is damaged: {}", path.string(), std::string(parsed.message()));
  Record record;
  for (const auto& [name, value] : object.fields()) {
    if (value.kind_case() != google::protobuf::Value::kStringValue)
      return DataLoss("{} is damaged: {} is not a string", path.string(), name);
    record.emplace(name, value.string_value());
  }
  return record;
}

absl::Status WriteRecord(FileSystem& files, const fs::path& path, const Record& record,
                         OpenMode mode) {
  google::protobuf::Struct object;
  for (const auto& [name, value] : record) (*object.mutable_fields())[name].set_string_value(value);
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  std::string text;
  const auto printed = google::protobuf::util::MessageToJsonString(object, &text, options);
  if (!printed.ok())
    return Internal("writing {}: {}", path.string(), std::string(printed.message()));
  return files.WriteAtomically(path, AsBytes(text), mode);
}

std::string Field(const Record& record, std::string_view name) {
  const auto at = record.find(name);
  return at == record.end() ? "" : at->second;
}

std::optional<uint64_t> NumberField(const Record& record, std::string_view name) {
  const std::string text = Field(record, name);
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace quantfleet::agent
