#include "daemon/jobs/model_place.h"

#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace quantfleet::daemon {
namespace {

constexpr const char* kFolder = "demo-p0123456789abcdef";

class ModelPlaceTest : public ::testing::Test {
 protected:
  fs::path Place(const fs::path& recorded) const {
    return PlaceOf(RealFileSystem(), data_, recorded.string());
  }
  testing::TempDir dir_;
  const fs::path data_ = dir_ / "data", here_ = data_ / "models" / kFolder;
};

TEST_F(ModelPlaceTest, APushedModelMovesWithTheDataAndAnImportedOneStays) {
  EXPECT_EQ(RecordedPlace(data_, here_), fs::path("models") / kFolder);
  EXPECT_EQ(Place(fs::path("models") / kFolder), here_);
  EXPECT_EQ(RecordedPlace(data_, "/srv/phi3"), "/srv/phi3");
  EXPECT_EQ(Place("/srv/phi3"), "/srv/phi3");
  EXPECT_EQ(Place("/srv/models/phi3-mini"), "/srv/models/phi3-mini") << "no push names it so";
}

// With the folder that the daemon's data had then, absolute or as it was given.
TEST_F(ModelPlaceTest, RecordsOfBeforeAreRead) {
  for (const fs::path& old : {dir_ / "moved", fs::path("quantfleet-data"), fs::path(".")})
    EXPECT_EQ(Place(old / "models" / kFolder), here_) << old;
  // Of two, the data folder's own.
  const fs::path elsewhere = dir_ / "elsewhere/models" / kFolder;
  fs::create_directories(elsewhere);
  EXPECT_EQ(Place(elsewhere), elsewhere);
  fs::create_directories(here_);
  EXPECT_EQ(Place(elsewhere), here_);
}

TEST_F(ModelPlaceTest, WhatToDoAboutMissingFilesDependsOnWhereTheyWere) {
  const auto check = [&](const fs::path& place) {
    return CheckFilesThere(RealFileSystem(), data_, "demo", place);
  };
  EXPECT_ERROR(check(here_), kFailedPrecondition, "model push demo");
  EXPECT_ERROR(check(dir_ / "phi3"), kFailedPrecondition, "model import demo",
               (dir_ / "phi3").string());
  fs::create_directories(here_);
  EXPECT_OK(check(here_));
}

}  // namespace
}  // namespace quantfleet::daemon
