// What the tests of power cuts rest on, and the first of them.
#include <fstream>
#include <tuple>

#include "common/base/file.h"
#include "tests/support/power_cuts.h"
#include "tests/support/status_matchers.h"

namespace quantfleet {
namespace {

using testing::CutPowerAtEachChange;
using testing::FaultyFileSystem;
using testing::kLosses;
using testing::Loss;
using testing::TempDir;

TEST(File, WriteAtomicallyKeepsOldOrNewWhenThePowerGoes) {
  const auto changes = CutPowerAtEachChange({
      .prepare = [](const fs::path& root) { std::ofstream(root / "f") << "old"; },
      .act =
          [](FileSystem& files, const fs::path& root) {
            std::ignore = files.WriteAtomically(root / "f", AsBytes("new"));
          },
      .check =
          [](FileSystem& files, const fs::path& root, bool done) {
            const auto content = files.ReadAll(root / "f");
            ASSERT_OK(content.status());
            EXPECT_TRUE(*content == "new" || (!done && *content == "old")) << *content;
          },
  });
  EXPECT_EQ(changes, 7);
}

// Each thing that is left out loses what it should.
TEST(FaultyFileSystem, ForgetsWhatWasNotSynced) {
  struct Case {
    bool sync_file, sync_folder;
    const char *after_data, *after_all;  // content; null: no such file
  };
  for (const auto& [sync_file, sync_folder, after_data, after_all] :
       {Case{false, false, "", nullptr}, Case{true, false, "new", nullptr},
        Case{false, true, "", ""}, Case{true, true, "new", "new"}})
    for (const Loss loss : kLosses) {
      SCOPED_TRACE(fmt::format("{} {} {}", sync_file, sync_folder, static_cast<int>(loss)));
      const TempDir dir;
      FaultyFileSystem files({}, dir / "disk");
      const fs::path path = dir / "disk/f";
      {
        auto file = files.Open(path, OpenMode::kCreate);
        ASSERT_OK(file.status());
        ASSERT_OK((*file)->WriteAt(0, AsBytes("new")));
        if (sync_file) {
          ASSERT_OK((*file)->Sync());
        }
      }
      if (sync_folder) {
        ASSERT_OK(files.SyncDirectory(dir / "disk"));
      }
      files.CutPower(loss);
      const char* want = loss == Loss::kNothing ? "new"
                         : loss == Loss::kData  ? after_data
                                                : after_all;
      ASSERT_EQ(files.Exists(path), want != nullptr);
      if (want) {
        EXPECT_EQ(*files.ReadAll(path), want);
      }
    }
}

TEST(FaultyFileSystem, ForgetsNamesThatWereNotSynced) {
  const TempDir dir;
  const fs::path root = dir / "disk";
  fs::create_directories(root / "folder");
  std::ofstream(root / "removed") << "removed";
  std::ofstream(root / "moved") << "moved";
  std::ofstream(root / "folder/inside") << "inside";
  FaultyFileSystem files({}, root);
  ASSERT_OK(files.Remove(root / "removed"));
  ASSERT_OK(files.Rename(root / "moved", root / "elsewhere"));
  ASSERT_OK(files.RemoveTree(root / "folder"));
  ASSERT_OK(files.CreateDirectories(root / "made"));
  ASSERT_OK(files.MakeLink("removed", root / "link"));
  ASSERT_OK(files.WriteAtomically(root / "made/file", AsBytes("in a folder that goes")));
  files.CutPower(Loss::kAll);
  EXPECT_EQ(*files.ReadAll(root / "removed"), "removed");
  EXPECT_EQ(*files.ReadAll(root / "moved"), "moved");
  EXPECT_EQ(*files.ReadAll(root / "folder/inside"), "inside");
  EXPECT_EQ(*files.List(root), (std::vector<std::string>{"folder", "moved", "removed"}));
  // The same again, synced.
  ASSERT_OK(files.Rename(root / "moved", root / "elsewhere"));
  ASSERT_OK(files.MakeLink("elsewhere", root / "link"));
  ASSERT_OK(files.SyncDirectory(root));
  files.CutPower(Loss::kAll);
  EXPECT_EQ(*files.List(root),
            (std::vector<std::string>{"elsewhere", "folder", "link", "removed"}));
  EXPECT_EQ(*files.ReadLink(root / "link"), "elsewhere");
}

TEST(FaultyFileSystem, NothingWorksFromTheCutOn) {
  const TempDir dir;
  FaultyFileSystem files({.changes = 2}, dir / "disk");
  const fs::path path = dir / "disk/f";
  auto file = files.Open(path, OpenMode::kCreate);  // a change
  ASSERT_OK(file.status());
  ASSERT_OK((*file)->WriteAt(0, AsBytes("1234")));
  EXPECT_TRUE(absl::IsUnavailable((*file)->WriteAt(4, AsBytes("5678"))));
  EXPECT_TRUE(files.dead());
  EXPECT_TRUE(absl::IsUnavailable((*file)->Sync()));
  EXPECT_TRUE(absl::IsUnavailable(files.SyncDirectory(dir / "disk")));
  EXPECT_TRUE(absl::IsUnavailable(files.Open(path, OpenMode::kRead).status()));
  files.CutPower(Loss::kNothing);
  EXPECT_EQ(*files.ReadAll(path), "123456") << "a write that is cut is half done";
  EXPECT_TRUE(absl::IsUnavailable((*file)->WriteAt(0, AsBytes("x")))) << "of an earlier life";
}

TEST(File, AFolderThatWasMadeIsThereForGood) {
  for (const bool some : {false, true})
    CutPowerAtEachChange({
        .prepare =
            [&](const fs::path& root) {
              if (some) fs::create_directories(root / "a/b");
            },
        .act = [](FileSystem& files,
                  const fs::path& root) { std::ignore = files.MakeFolder(root / "a/b/c/d"); },
        .check =
            [](FileSystem& files, const fs::path& root, bool done) {
              EXPECT_TRUE(!done || files.Exists(root / "a/b/c/d"));
              EXPECT_OK(files.MakeFolder(root / "a/b/c/d"));
              EXPECT_OK(files.MakeFolder(root / "a/b/c/d/"));
              EXPECT_EQ(*files.List(root / "a/b/c/d"), std::vector<std::string>());
            },
    });
}

}  // namespace
}  // namespace quantfleet
