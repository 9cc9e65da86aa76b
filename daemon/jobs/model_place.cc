#include "daemon/jobs/model_place.h"

#include <algorithm>

namespace quantfleet::daemon {
namespace {

constexpr std::string_view kModels = "models";

// Named as pushes name their folders: "<model>-p" and the digits of an id.
bool LooksPushed(const fs::path& place) {
  constexpr size_t kDigits = 16;
  const std::string name = place.filename().string();
  if (place.parent_path().filename() != kModels || name.size() < kDigits + 3) return false;
  const std::string_view end = std::string_view(name).substr(name.size() - kDigits - 2);
  return end.starts_with("-p") && std::ranges::all_of(end.substr(2), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

}  // namespace

bool IsPushed(const fs::path& data, const fs::path& place) {
  return place.parent_path() == data / kModels;
}

std::string RecordedPlace(const fs::path& data, const fs::path& path) {
  return IsPushed(data, path) ? (fs::path(kModels) / path.filename()).string() : path.string();
}

fs::path PlaceOf(FileSystem& files, const fs::path& data, std::string_view recorded) {
  fs::path path(recorded);
  if (path.parent_path() == kModels) return data / path;
  if (!LooksPushed(path)) return path;
  // By the folder that was the daemon's then; the model may have come along since.
  const fs::path here = data / kModels / path.filename();
  return files.Exists(here) || !files.Exists(path) ? here : path;
}

absl::Status CheckFilesThere(FileSystem& files, const fs::path& data, std::string_view model,
                             const fs::path& place) {
  if (files.Exists(place)) return absl::OkStatus();
  if (IsPushed(data, place))
    return FailedPrecondition(
        "the files of model {0} are not in the data folder (a backup without --models leaves them "
        "out): push them again with `quantfleet model push {0} FOLDER`",
        model);
  return FailedPrecondition(
      "the files of model {0} are no longer at {1}: put them back, or import them from elsewhere "
      "with `quantfleet model import {0} PATH`",
      model, place.string());
}

v1::Model ModelAsShown(FileSystem& files, const fs::path& data, v1::Model recorded) {
  const fs::path place = PlaceOf(files, data, recorded.path());
  recorded.set_path(place.string());
  if (const absl::Status there = CheckFilesThere(files, data, recorded.name(), place); !there.ok())
    recorded.add_notes(Message(there));
  return recorded;
}

}  // namespace quantfleet::daemon
