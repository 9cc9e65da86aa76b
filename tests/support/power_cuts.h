// Tries something under a power cut at each change that it makes, with each kind of loss. For
// tests.
#pragma once

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>
#include <string_view>

#include "tests/support/faulty_file_system.h"
#include "tests/support/temp_dir.h"

namespace quantfleet::testing {

// QUANTFLEET_THOROUGH=1: what takes long is done whole.
inline bool Thorough() {
  const char* wanted = std::getenv("QUANTFLEET_THOROUGH");
  return wanted && std::string_view(wanted) == "1";
}

struct PowerCut {
  // What the disk holds before, below `root`; all of it is there for good.
  std::function<void(const fs::path& root)> prepare = [](const fs::path&) {};
  // May fail: the power may go at any of its changes.
  std::function<void(FileSystem& files, const fs::path& root)> act;
  // The machine is on again. `done`: the power went only when `act` had returned.
  std::function<void(FileSystem& files, const fs::path& root, bool done)> check;
  // Every so many changes, where `act` takes long; of the last ones, which commit, each.
  int64_t step = 1;
};

// How many changes `act` makes.
inline int64_t CutPowerAtEachChange(const PowerCut& test) {
  constexpr int64_t kLast = 12;
  int64_t whole = 0;  // changes that are made undisturbed, where that matters
  if (test.step > 1) {
    const TempDir dir;
    fs::create_directory(dir / "disk");
    test.prepare(dir / "disk");
    FaultyFileSystem files;
    test.act(files, dir / "disk");
    whole = files.changes_made();
  }
  int64_t changes = 0;
  for (const Loss loss : kLosses) {
    changes = 0;
    for (bool done = false; !done; changes += changes + test.step + kLast < whole ? test.step : 1) {
      SCOPED_TRACE(fmt::format("loss {}, power cut at change {}", static_cast<int>(loss), changes));
      const TempDir dir;
      const fs::path root = dir / "disk";
      fs::create_directory(root);
      test.prepare(root);
      FaultyFileSystem files({.changes = changes}, root);
      test.act(files, root);
      done = !files.dead();
      files.CutPower(loss);
      test.check(files, root, done);
      if (::testing::Test::HasFailure()) return changes;
    }
  }
  return changes;
}

}  // namespace quantfleet::testing
