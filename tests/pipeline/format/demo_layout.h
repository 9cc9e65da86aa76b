// The demo model, and the files of what a target plans for it.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string_view>

#include "common/base/file.h"
#include "pipeline/format/registry/open_model.h"

namespace quantfleet::pipeline {

inline std::unique_ptr<ModelSource> OpenDemo() {
  return *OpenModel(RealFileSystem(), fs::path(QUANTFLEET_SOURCE_DIR) / "tests/data/demo-model");
}

inline const OutputFile& FileOf(const TargetLayout& layout, std::string_view path) {
  for (const OutputFile& file : layout.files)
    if (file.path == path) return file;
  ADD_FAILURE() << path << " is not there";
  return layout.files.front();
}

}  // namespace quantfleet::pipeline
