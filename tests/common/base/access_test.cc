#include "common/base/access.h"

#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace quantfleet {
namespace {

class AccessTest : public ::testing::Test {
 protected:
  fs::path FileWith(mode_t mode, const std::string& name = "key") {
    const fs::path path = dir_ / name;
    EXPECT_OK(RealFileSystem().WriteAtomically(path, AsBytes("secret"), OpenMode::kPrivate));
    EXPECT_EQ(::chmod(path.c_str(), mode), 0);
    return path;
  }
  testing::TempDir dir_;
};

TEST_F(AccessTest, APrivateFileIsItsOwnersAlone) {
  for (const mode_t mode : {0600, 0400, 0700}) EXPECT_OK(CheckPrivate(FileWith(mode))) << mode;
  const std::string mend = "Run `chmod 600 " + (dir_ / "key").string() + "`";
  for (const mode_t mode : {0640, 0604, 0620, 0602, 0666, 0644, 0610}) {
    const absl::Status refused = CheckPrivate(FileWith(mode));
    EXPECT_ERROR(refused, kFailedPrecondition, mend);
    EXPECT_ERROR(refused, kFailedPrecondition, fmt::format("{:04o}", mode));
  }
  EXPECT_ERROR(CheckPrivate(FileWith(0666)), kFailedPrecondition, "read and change");
  EXPECT_ERROR(CheckPrivate(FileWith(0644)), kFailedPrecondition, "read it");
  EXPECT_OK(CheckPrivate(dir_ / "absent"));
  EXPECT_ERROR(ReadPrivate(RealFileSystem(), FileWith(0666), 100), kFailedPrecondition, "chmod");
  EXPECT_EQ(*ReadPrivate(RealFileSystem(), FileWith(0600), 100), "secret");
  EXPECT_ERROR(ReadPrivate(RealFileSystem(), dir_ / "absent", 100), kNotFound, "absent");
}

TEST_F(AccessTest, WhatIsUnsharedMayBeReadButNotChanged) {
  const fs::path folder = dir_ / "state";
  ASSERT_TRUE(fs::create_directory(folder));
  for (const mode_t mode : {0700, 0750, 0755, 0711}) {
    ASSERT_EQ(::chmod(folder.c_str(), mode), 0);
    EXPECT_OK(CheckUnshared(folder)) << mode;
  }
  for (const mode_t mode : {0777, 0775, 0757, 01777, 0702}) {
    ASSERT_EQ(::chmod(folder.c_str(), mode), 0);
    EXPECT_ERROR(CheckUnshared(folder), kFailedPrecondition,
                 "`chmod go-w " + folder.string() + "`");
  }
  EXPECT_OK(CheckUnshared(FileWith(0644)));
  EXPECT_ERROR(CheckUnshared(FileWith(0664)), kFailedPrecondition, "0664");
  EXPECT_OK(CheckUnshared(dir_ / "absent"));
}

TEST_F(AccessTest, AnotherUsersFileIsRefusedUnlessRootAsks) {
  const fs::path path = FileWith(0600);
  constexpr uid_t kOther = 54321;
  uid_t owner = ::geteuid();
  if (owner == 0) {  // root's own files are everybody's to trust
    EXPECT_OK(CheckPrivate(path, kOther));
    owner = 12345;
    ASSERT_EQ(::chown(path.c_str(), owner, static_cast<gid_t>(-1)), 0);
  }
  EXPECT_OK(CheckPrivate(path, owner));
  EXPECT_OK(CheckPrivate(path, 0));
  for (const absl::Status& refused : {CheckPrivate(path, kOther), CheckUnshared(path, kOther)}) {
    EXPECT_ERROR(refused, kFailedPrecondition, fmt::format("user {}", owner));
    EXPECT_ERROR(refused, kFailedPrecondition, fmt::format("`chown {} {}`", kOther, path.string()));
  }
}

TEST_F(AccessTest, RootDoesNotWriteIntoTheFolderOfAnotherUsersService) {
  const fs::path folder = dir_ / "state";
  ASSERT_TRUE(fs::create_directory(folder));
  EXPECT_OK(CheckIsOwn(folder));
  EXPECT_OK(CheckIsOwn(dir_ / "absent", 0));
  if (::geteuid() == 0) {
    ASSERT_EQ(::chown(folder.c_str(), 12345, static_cast<gid_t>(-1)), 0);
  }
  const uid_t owner = ::geteuid() == 0 ? 12345 : ::geteuid();
  EXPECT_ERROR(CheckIsOwn(folder, 0), kFailedPrecondition, fmt::format("sudo -u '#{}'", owner));
  EXPECT_OK(CheckIsOwn(folder, owner));
}

// As /run/secrets of a container and the folders of certbot have them.
TEST_F(AccessTest, ASecretMayStandBehindALinkOfItsOwner) {
  const fs::path file = FileWith(0600);
  ASSERT_OK(RealFileSystem().MakeLink(file, dir_ / "link"));
  EXPECT_EQ(*ReadPrivate(RealFileSystem(), dir_ / "link", 100), "secret");
  EXPECT_TRUE(*IsOwnLink(dir_ / "link"));
  EXPECT_FALSE(*IsOwnLink(file));
  EXPECT_FALSE(*IsOwnLink(dir_ / "absent"));
  fs::permissions(file, fs::perms(0644));
  EXPECT_ERROR(ReadPrivate(RealFileSystem(), dir_ / "link", 100).status(), kFailedPrecondition,
               "chmod 600");
}

TEST_F(AccessTest, ALinkThatAnotherUserMadeIsRefused) {
  ASSERT_OK(RealFileSystem().MakeLink(FileWith(0600), dir_ / "link"));
  if (::geteuid() != 0) {
    EXPECT_ERROR(IsOwnLink(dir_ / "link", ::geteuid() + 1).status(), kFailedPrecondition, "link");
    return;
  }
  ASSERT_EQ(::lchown((dir_ / "link").c_str(), 1000, 1000), 0);
  EXPECT_ERROR(ReadPrivate(RealFileSystem(), dir_ / "link", 100).status(), kFailedPrecondition,
               "link");
}

TEST_F(AccessTest, TheCommandCanBeCopiedIntoAShell) {
  EXPECT_ERROR(CheckPrivate(FileWith(0644, "my key")), kFailedPrecondition,
               "chmod 600 '" + (dir_ / "my key").string() + "'`");
  EXPECT_ERROR(CheckPrivate(FileWith(0644, "it's")), kFailedPrecondition, "it'\\''s'`");
}

TEST_F(AccessTest, WhatAProgramMakesIsNeverWritableForOthers) {
  for (const mode_t mask : {0000, 0002, 0022, 0077}) {
    const mode_t before = ::umask(mask);
    KeepOthersFromWriting();
    const fs::path folder = dir_ / fmt::format("folder-{:o}", mask);
    EXPECT_OK(RealFileSystem().CreateDirectories(folder));
    EXPECT_OK(RealFileSystem().WriteAtomically(folder / "record", AsBytes("x")));
    EXPECT_OK(RealFileSystem().WriteAtomically(folder / "key", AsBytes("x"), OpenMode::kPrivate));
    EXPECT_EQ(::umask(before), mask | 0022u) << "nothing that the user forbade is allowed";
    EXPECT_OK(CheckUnshared(folder));
    EXPECT_OK(CheckUnshared(folder / "record"));
    EXPECT_OK(CheckPrivate(folder / "key"));
  }
}

TEST_F(AccessTest, NobodyElseReadsTheMemoryOfAProgramThatHoldsKeys) {
#ifdef QUANTFLEET_SANITIZED
  GTEST_SKIP() << "sanitizers look at their own memory";
#endif
  // In a process of its own, so that this one can still be looked at.
  const auto dumpable_after = [](bool debugging) {
    const pid_t child = ::fork();
    if (child == 0) {
      if (debugging) ::setenv("QUANTFLEET_DEBUG", "1", 1);
      ::prctl(PR_SET_DUMPABLE, 1);
      KeepMemoryPrivate();
      ::_exit(::prctl(PR_GET_DUMPABLE));
    }
    int status = -1;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    return WEXITSTATUS(status);
  };
  EXPECT_EQ(dumpable_after(false), 0);
  EXPECT_EQ(dumpable_after(true), 1);
}

}  // namespace
}  // namespace quantfleet
