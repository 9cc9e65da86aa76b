#include "common/config/settings.h"

namespace quantfleet::config {

Text Into(std::string& out) {
  return {[&out](const std::string& text) {
    out = text;
    return absl::OkStatus();
  }};
}
Text Into(fs::path& out) {
  return {[&out](const std::string& text) {
    out = text;
    return absl::OkStatus();
  }};
}
Text FileInto(fs::path& out) {
  Text file = Into(out);
  file.is_file = true;
  return file;
}
Text RequiredInto(fs::path& out) {
  Text required = Into(out);
  required.required = true;
  return required;
}
Switch Into(bool& out) {
  return {[&out](bool value) { out = value; }};
}
Texts Into(std::vector<std::string>& out) {
  return {[&out](std::vector<std::string> values) { out = std::move(values); }};
}

absl::Status Given::Apply() const {
  absl::Status first;
  for (const auto& put : *puts_)
    if (absl::Status status = put(); first.ok()) first = std::move(status);
  return first;
}

}  // namespace quantfleet::config
