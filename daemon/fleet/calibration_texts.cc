#include "daemon/fleet/calibration_texts.h"

#include <algorithm>

#include "common/base/outside_text.h"
#include "common/base/utf8.h"

namespace quantfleet::daemon {

absl::Status CheckText(std::string_view name, std::string_view text) {
  if (text.size() > kMaxCalibrationText)
    return InvalidArgument("calibration text {} has {}, and at most {} are taken: shorten it",
                           Shown(name, 64), HumanBytes(text.size()),
                           HumanBytes(kMaxCalibrationText));
  if (text.empty()) return InvalidArgument("calibration text {} is empty", Shown(name, 64));
  if (const size_t whole = WholeUtf8Length(text); whole < text.size())
    return InvalidArgument("calibration text {} is not UTF-8: see byte {}", Shown(name, 64), whole);
  return absl::OkStatus();
}

absl::StatusOr<std::string> CalibrationTexts::Read(std::string_view name) const {
  QF_RETURN_IF_ERROR(CheckTextName(name));
  absl::StatusOr<std::string> text = files_.ReadAll(folder_ / name, kMaxCalibrationText + 1);
  if (text.ok()) {
    QF_RETURN_IF_ERROR(CheckText(name, *text));
    return text;
  }
  if (!absl::IsNotFound(text.status())) return text.status();
  std::string list;
  if (const auto names = files_.List(folder_); names.ok())
    for (const std::string& each : *names)
      if (CheckTextName(each).ok()) list += fmt::format("{}\"{}\"", list.empty() ? "" : ", ", each);
  return InvalidArgument(
      "there is no calibration text \"{}\": {} has {}; put it there, or use \"{}\"",
      Shown(name, 64), folder_.string(), list.empty() ? "none" : list, kSelfText);
}

absl::Status CalibrationTexts::Check(std::string_view name) const {
  return name == kSelfText ? absl::OkStatus() : Read(name).status();
}

}  // namespace quantfleet::daemon
