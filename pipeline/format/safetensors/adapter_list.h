// Which adapters go with a model: those that a command line names, and those that stand in the
// model's folder and that its list of adapters names. The list is written for the daemon, which
// merges them wherever it opens the folder:
//
//   quantfleet-adapters.json   {"adapters": [{"folder": "adapters/1", "name": "tone", "scale":
//   0.5}]} adapters/1/...             the files of an adapter, as peft saves it
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/base/file.h"
#include "common/base/status.h"

namespace quantfleet::pipeline {

inline constexpr std::string_view kAdapterList = "quantfleet-adapters.json";
inline constexpr const char *kAdapterConfig = "adapter_config.json",
                            *kAdapterWeights = "adapter_model.safetensors";

// An adapter's folder, and what its scale is multiplied by.
struct LoraChoice {
  fs::path folder;
  double times = 1;
  std::string name = {};  // for people
};
// "DIR" or "DIR:SCALE". The name is that of the folder.
absl::StatusOr<LoraChoice> ParseLoraChoice(std::string_view text);

// The bytes of an adapter's two files, which are there and look like what they should be. Errors
// name the file and say how to get it.
struct AdapterSizes {
  uint64_t config = 0, weights = 0;
};
absl::StatusOr<AdapterSizes> CheckAdapterFiles(FileSystem& files, const fs::path& folder);

// "adapters/1" for the first: where an adapter stands below a model's folder.
std::string AdapterFolder(size_t index);
// The list of adapters that stand in those folders, in this order.
std::string AdapterListText(const std::vector<LoraChoice>& choices);
// What the list in `folder` names. Errors name the list. A folder outside `folder` is refused.
absl::StatusOr<std::vector<LoraChoice>> ReadAdapterList(FileSystem& files, const fs::path& folder);

}  // namespace quantfleet::pipeline
