// Facts as operators override them, and the cache of what is measured. The same on every platform.

#include <google/protobuf/descriptor.h>
#include <google/protobuf/util/json_util.h>

#include <charconv>

#include "agent/platform/hardware.h"
#include "agent/platform/record.h"

namespace quantfleet::agent {
namespace {

using google::protobuf::FieldDescriptor;

template <typename Number>
absl::StatusOr<Number> ParseNumber(std::string_view name, std::string_view text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size())
    return InvalidArgument("fact {}: \"{}\" is not a number in the allowed range", name, text);
  return value;
}

std::vector<std::string> SplitCommas(std::string_view text) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const size_t comma = std::min(text.find(','), text.size());
    if (comma > 0) parts.emplace_back(text.substr(0, comma));
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return parts;
}

std::string FieldNames() {
  std::string names;
  const auto* descriptor = v1::HardwareFacts::descriptor();
  for (int i = 0; i < descriptor->field_count(); ++i)
    names += (i ? ", " : "") + descriptor->field(i)->name();
  return names;
}

fs::path OverridesPath(const fs::path& state) { return state / "facts.json"; }

}  // namespace

v1::HardwareFacts FindFacts(FileSystem& files, const Hardware& hardware,
                            const std::function<double()>& measure_kernel, const fs::path& state) {
  v1::HardwareFacts facts = hardware.Find(state);
  const fs::path cache = state / "measured.json";
  if (const auto record = ReadRecord(files, cache);
      record.ok() && Field(*record, "cpu_model") == facts.cpu_model()) {
    const auto bandwidth =
        ParseNumber<double>("bandwidth", Field(*record, "memory_bandwidth_gbps"));
    const auto kernel = ParseNumber<double>("kernel", Field(*record, "kernel_gops"));
    if (bandwidth.ok() && kernel.ok()) {
      facts.set_memory_bandwidth_gbps(*bandwidth);
      facts.set_kernel_gops(*kernel);
      return facts;
    }
  }
  facts.set_memory_bandwidth_gbps(hardware.MeasureBandwidth());
  facts.set_kernel_gops(measure_kernel());
  // A cache that cannot be written costs a tenth of a second next time, nothing else.
  WriteRecord(files, cache,
              {{"cpu_model", facts.cpu_model()},
               {"memory_bandwidth_gbps", fmt::format("{:.2f}", facts.memory_bandwidth_gbps())},
               {"kernel_gops", fmt::format("{:.3f}", facts.kernel_gops())}})
      .IgnoreError();
  return facts;
}

absl::StatusOr<v1::HardwareFacts> ReadFactsFile(FileSystem& files, const fs::path& json) {
  QF_ASSIGN_OR_RETURN(const std::string text, files.ReadAll(json, 1 << 20));
  v1::HardwareFacts facts;
  const auto parsed = google::protobuf::util::JsonStringToMessage(text, &facts);
  if (!parsed.ok())
    return InvalidArgument("{}: {}; known fields are: {}", json.string(),
                           std::string(parsed.message()), FieldNames());
  return facts;
}

absl::Status AddFact(std::string_view assignment, v1::HardwareFacts* overrides) {
  const size_t equals = assignment.find('=');
  if (equals == std::string_view::npos)
    return InvalidArgument("fact \"{}\": write key=value, such as form=iot", assignment);
  const std::string name(assignment.substr(0, equals));
  const std::string_view value = assignment.substr(equals + 1);
  const FieldDescriptor* field = v1::HardwareFacts::descriptor()->FindFieldByName(name);
  if (!field)
    return InvalidArgument("\"{}\" is not a known fact; known facts are: {}", name, FieldNames());
  const auto* reflection = overrides->GetReflection();
  if (field->is_repeated()) {
    reflection->ClearField(overrides, field);
    for (std::string& part : SplitCommas(value))
      reflection->AddString(overrides, field, std::move(part));
    return absl::OkStatus();
  }
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_UINT32: {
      QF_ASSIGN_OR_RETURN(const uint32_t number, ParseNumber<uint32_t>(name, value));
      reflection->SetUInt32(overrides, field, number);
      return absl::OkStatus();
    }
    case FieldDescriptor::CPPTYPE_UINT64: {
      QF_ASSIGN_OR_RETURN(const uint64_t number, ParseNumber<uint64_t>(name, value));
      reflection->SetUInt64(overrides, field, number);
      return absl::OkStatus();
    }
    case FieldDescriptor::CPPTYPE_DOUBLE: {
      QF_ASSIGN_OR_RETURN(const double number, ParseNumber<double>(name, value));
      reflection->SetDouble(overrides, field, number);
      return absl::OkStatus();
    }
    default:
      reflection->SetString(overrides, field, std::string(value));
      return absl::OkStatus();
  }
}

void Override(const v1::HardwareFacts& overrides, v1::HardwareFacts* facts) {
  std::vector<const FieldDescriptor*> set;
  overrides.GetReflection()->ListFields(overrides, &set);
  for (const FieldDescriptor* field : set) facts->GetReflection()->ClearField(facts, field);
  facts->MergeFrom(overrides);
}

absl::StatusOr<v1::HardwareFacts> LoadOverrides(FileSystem& files, const fs::path& state) {
  if (!files.Exists(OverridesPath(state))) return v1::HardwareFacts();
  return ReadFactsFile(files, OverridesPath(state));
}

absl::Status SaveOverrides(FileSystem& files, const fs::path& state,
                           const v1::HardwareFacts& overrides) {
  if (overrides.ByteSizeLong() == 0) return files.Remove(OverridesPath(state));
  std::string text;
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  options.add_whitespace = true;
  const auto printed = google::protobuf::util::MessageToJsonString(overrides, &text, options);
  if (!printed.ok())
    return Internal("cannot write the facts as JSON: {}", std::string(printed.message()));
  return files.WriteAtomically(OverridesPath(state), AsBytes(text));
}

}  // namespace quantfleet::agent
