#include "common/base/file.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "common/base/access.h"
#include "common/base/digest.h"
#include "common/base/fd.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace quantfleet {
namespace {

using testing::FaultyFileSystem;
using testing::TempDir;

TEST(File, WritesReadsAndNamesTheCut) {
  TempDir dir;
  auto file = RealFileSystem().Open(dir / "f", OpenMode::kCreate);
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE((*file)->WriteAt(4, AsBytes("data")).ok());
  EXPECT_EQ(*(*file)->Size(), 8u);
  Bytes four(4);
  ASSERT_TRUE((*file)->ReadAt(4, four).ok());
  EXPECT_EQ(AsText(four), "data");
  const absl::Status cut = (*file)->ReadAt(6, four);
  EXPECT_EQ(cut.code(), absl::StatusCode::kDataLoss);
  EXPECT_NE(Message(cut).find("/f"), std::string::npos) << Message(cut);
}

TEST(File, MissingFileAndFolderAreNamed) {
  TempDir dir;
  EXPECT_EQ(RealFileSystem().Open(dir / "none", OpenMode::kRead).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(RealFileSystem().Open(dir.path(), OpenMode::kRead).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(File, WriteAtomicallyReplacesWholeOrNotAtAll) {
  TempDir dir;
  FaultyFileSystem files({.write_budget = 1000});
  ASSERT_TRUE(files.WriteAtomically(dir / "f", AsBytes("old")).ok());
  files.SetWriteBudget(2);
  EXPECT_EQ(files.WriteAtomically(dir / "f", AsBytes("new")).code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(*files.ReadAll(dir / "f"), "old");
  EXPECT_EQ(files.List(dir.path())->size(), 1u) << "the temporary file stayed";
  files.SetWriteBudget(1000);
  ASSERT_TRUE(files.WriteAtomically(dir / "f", AsBytes("new")).ok());
  EXPECT_EQ(*files.ReadAll(dir / "f"), "new");
}

TEST(File, OneHoldsALock) {
  const TempDir dir;
  FileSystem& files = RealFileSystem();
  for (const fs::path& path : {dir / "lock", dir.path()}) {
    EXPECT_FALSE(files.IsLocked(path));
    {
      const auto held = files.Lock(path);
      ASSERT_OK(held.status());
      ASSERT_NE(*held, nullptr);
      EXPECT_TRUE(files.IsLocked(path));
      const auto second = files.Lock(path);
      ASSERT_OK(second.status());
      EXPECT_EQ(*second, nullptr);
    }
    EXPECT_FALSE(files.IsLocked(path));
    EXPECT_NE(files.Lock(path).value(), nullptr);
  }
  EXPECT_EQ(fs::status(dir / "lock").permissions(), fs::perms::owner_read | fs::perms::owner_write);
  EXPECT_TRUE(absl::IsNotFound(files.Lock(dir / "none/lock").status()));
}

TEST(File, LinksAreAsWritten) {
  const TempDir dir;
  FileSystem& files = RealFileSystem();
  ASSERT_OK(files.MakeLink("some/where", dir / "link"));
  EXPECT_EQ(*files.ReadLink(dir / "link"), "some/where");
  EXPECT_TRUE(absl::IsAlreadyExists(files.MakeLink("else", dir / "link")));
  EXPECT_TRUE(absl::IsNotFound(files.ReadLink(dir / "none").status()));
}

TEST(File, StreamsAreReadToTheirEnd) {
  const TempDir dir;
  FileSystem& files = RealFileSystem();
  ASSERT_OK(files.WriteAtomically(dir / "f", AsBytes("12345")));
  EXPECT_EQ(*files.ReadStream(dir / "f", 100), "12345");
  EXPECT_EQ(*files.ReadStream(dir / "f", 3), "123");
  EXPECT_FALSE(files.ReadStream("/proc/self/status", 1 << 20)->empty()) << "its size is 0";
  EXPECT_TRUE(absl::IsNotFound(files.ReadStream(dir / "none", 100).status()));
}

// Without a writer each of these would wait for ever.
TEST(File, PipesSocketsAndDevicesAreRefusedWithoutWaiting) {
  const TempDir dir;
  FileSystem& files = RealFileSystem();
  ASSERT_EQ(::mkfifo((dir / "pipe").c_str(), 0600), 0);
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  (dir / "socket").string().copy(address.sun_path, sizeof(address.sun_path) - 1);
  const Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_OK(files.MakeLink(dir / "pipe", dir / "link"));
  for (const fs::path& path :
       {dir / "pipe", dir / "link", dir / "socket", fs::path("/dev/zero"), fs::path("/dev/tty")}) {
    for (const OpenMode mode : {OpenMode::kRead, OpenMode::kOutside, OpenMode::kSecret,
                                OpenMode::kUpdate, OpenMode::kCreate, OpenMode::kPrivate})
      EXPECT_TRUE(absl::IsInvalidArgument(files.Open(path, mode).status()))
          << path << files.Open(path, mode).status();
    EXPECT_TRUE(absl::IsInvalidArgument(files.ReadAll(path).status())) << path;
    EXPECT_TRUE(absl::IsInvalidArgument(ReadPrivate(files, path, 100).status())) << path;
    EXPECT_TRUE(absl::IsInvalidArgument(files.ReadStream(path, 100).status())) << path;
    EXPECT_TRUE(absl::IsInvalidArgument(MappedFile::Map(path).status())) << path;
  }
  EXPECT_FALSE(files.IsLocked(dir / "pipe"));
}

TEST(File, AFileFromOutsideThatGrowsOrShrinksWhileItIsReadIsAnError) {
  const TempDir dir;
  FileSystem& files = RealFileSystem();
  for (const uint64_t size : {uint64_t{2}, uint64_t{8}}) {
    ASSERT_OK(files.WriteAtomically(dir / "f", AsBytes("data")));
    const auto outside = files.Open(dir / "f", OpenMode::kOutside);
    const auto own = files.Open(dir / "f", OpenMode::kRead);
    Bytes two(2);
    EXPECT_OK((*outside)->ReadAt(0, two));
    fs::resize_file(dir / "f", size);
    EXPECT_TRUE(absl::IsDataLoss((*outside)->ReadAt(0, two))) << size;
    EXPECT_EQ(*(*outside)->Size(), 4u);
    EXPECT_OK((*own)->ReadAt(0, two));
    EXPECT_EQ(*(*own)->Size(), size);
  }
}

TEST(File, APrivateFileIsNotWrittenThroughALinkNorWhereOthersRead) {
  const TempDir dir;
  FileSystem& files = RealFileSystem();
  ASSERT_OK(files.WriteAtomically(dir / "open", AsBytes("x")));
  ASSERT_OK(files.MakeLink(dir / "elsewhere", dir / "link"));
  for (const char* name : {"open", "link"})
    EXPECT_TRUE(absl::IsFailedPrecondition(files.Open(dir / name, OpenMode::kPrivate).status()))
        << name;
  EXPECT_FALSE(files.Exists(dir / "elsewhere"));
}

TEST(File, PrivateFilesAreNobodyElses) {
  TempDir dir;
  ASSERT_TRUE(
      RealFileSystem().WriteAtomically(dir / "key", AsBytes("secret"), OpenMode::kPrivate).ok());
  EXPECT_EQ(fs::status(dir / "key").permissions() & (fs::perms::group_all | fs::perms::others_all),
            fs::perms::none);
}

TEST(File, ReadAllHasALimit) {
  TempDir dir;
  ASSERT_TRUE(RealFileSystem().WriteAtomically(dir / "f", AsBytes("12345")).ok());
  EXPECT_EQ(RealFileSystem().ReadAll(dir / "f", 4).status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(*RealFileSystem().ReadAll(dir / "f", 5), "12345");
}

TEST(MappedFile, MapsContentAndEmptiness) {
  TempDir dir;
  ASSERT_TRUE(RealFileSystem().WriteAtomically(dir / "f", AsBytes("mapped")).ok());
  ASSERT_TRUE(RealFileSystem().WriteAtomically(dir / "empty", {}).ok());
  auto mapped = MappedFile::Map(dir / "f");
  ASSERT_TRUE(mapped.ok());
  MappedFile moved = *std::move(mapped);
  EXPECT_EQ(AsText(moved.bytes()), "mapped");
  EXPECT_TRUE(MappedFile::Map(dir / "empty")->bytes().empty());
  EXPECT_FALSE(MappedFile::Map(dir.path()).ok());
}

TEST(Digest, KnownAnswerAndParsing) {
  const Digest d = HashText("abc");
  EXPECT_EQ(d.hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(*Digest::FromHexText(d.hex()), d);
  EXPECT_EQ(*Digest::FromRaw(d.raw()), d);
  EXPECT_FALSE(Digest::FromRaw("short").ok());
  EXPECT_FALSE(Digest::FromHexText(std::string(63, 'a')).ok());
  Sha256 pieces;
  pieces.Update(AsBytes("a"));
  pieces.Update(AsBytes("bc"));
  EXPECT_EQ(pieces.Finish(), d);
}

TEST(Status, NoSpaceIsResourceExhausted) {
  for (const int error : {ENOSPC, EDQUOT, EFBIG})
    EXPECT_EQ(ErrnoStatus(error, "writing x").code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(Message(Annotate(InvalidArgument("bad {}", 1), "here")), "here: bad 1");
  EXPECT_TRUE(Annotate(absl::OkStatus(), "here").ok());
}

}  // namespace
}  // namespace quantfleet
