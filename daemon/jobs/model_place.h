// Where a model's files lie. The daemon may move its data folder, or be restored into another, so a
// record names the folder of a pushed model relative to it: "models/demo-p0123456789abcdef". That
// of an imported model is named by its absolute path. Records of before name both by a path; such
// ones of pushed models are recognized by their last two parts. Pure but for a look at the disk.
#pragma once

#include <string>
#include <string_view>

#include "common/base/file.h"
#include "common/base/status.h"
#include "quantfleet/v1/types.pb.h"

namespace quantfleet::daemon {

// As a record has it, of the path that it is at now.
std::string RecordedPlace(const fs::path& data, const fs::path& path);
// Where the files are, or were: nothing need be there.
fs::path PlaceOf(FileSystem& files, const fs::path& data, std::string_view recorded);
bool IsPushed(const fs::path& data, const fs::path& place);

// FAILED_PRECONDITION: the files of `model` are not at `place`; what to do.
absl::Status CheckFilesThere(FileSystem& files, const fs::path& data, std::string_view model,
                             const fs::path& place);

// The model as people see it: with the path at which it is now, and a note if nothing is there.
v1::Model ModelAsShown(FileSystem& files, const fs::path& data, v1::Model recorded);

}  // namespace quantfleet::daemon
