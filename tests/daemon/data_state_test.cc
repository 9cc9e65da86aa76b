#include "daemon/data_state.h"

#include <gmock/gmock.h>

#include <fstream>

#include "daemon/data_lock.h"
#include "daemon/maintenance.h"
#include "daemon/server.h"
#include "daemon/store/sqlite/sqlite_store.h"
#include "daemon/trust/authority.h"
#include "tests/daemon/store/once.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace quantfleet::daemon {
namespace {

using ::testing::HasSubstr;

// A folder that a daemon ran on, with a fleet of many devices, and a backup of it.
class DataStateTest : public ::testing::Test {
 protected:
  DataStateTest() {
    EXPECT_OK(Start());
    const auto store = OpenSqliteStore(database_).value();
    for (int i = 0; i < kDevices; ++i) {
      Enrollment enrollment{HashText(std::to_string(i)), "list", {}, 1};
      enrollment.device.set_id(fmt::format("d{}", i));
      enrollment.device.set_state(v1::Device::ACTIVE);
      enrollment.device.set_agent_version(std::string(500, 'x'));
      EXPECT_OK(Once(*store)->devices().Create(enrollment).status());
    }
    EXPECT_OK(BackUp(RealFileSystem(), data_, dir_ / "backup", /*models=*/false));
  }
  // Starts a daemon and stops it.
  absl::Status Start() {
    Config config;
    config.data = data_;
    config.listen.port = config.http.port = 0;
    return Server::Start(config, {RealFileSystem(), clock_, random_, [](std::string_view) {}})
        .status();
  }
  uint64_t Devices() {
    const auto store = OpenSqliteStore(database_).value();
    return Once(*store)->counts().Count(0)->devices;
  }
  void Forget() {
    for (const char* name : {"state.db", "state.db-wal", "state.db-shm"})
      EXPECT_OK(RealFileSystem().Remove(data_ / name));
  }
  // Bytes in the middle of the database become others.
  void Damage() {
    const auto file = RealFileSystem().Open(database_, OpenMode::kUpdate).value();
    const std::string other(8192, '\xa5');
    EXPECT_OK(file->WriteAt(*file->Size() / 2, AsBytes(other)));
  }
  void ExpectRefused(absl::StatusCode code) {
    const absl::Status refused = Start();
    EXPECT_EQ(refused.code(), code) << refused;
    EXPECT_THAT(Message(refused), HasSubstr("quantfleetd set-aside"));
    EXPECT_THAT(Message(refused), HasSubstr("quantfleetd restore"));
  }
  absl::Status SetAsideNow() { return SetAside(RealFileSystem(), clock_, data_).status(); }
  void ExpectRestorable() {
    ASSERT_OK(SetAsideNow());
    ASSERT_OK(Restore(RealFileSystem(), dir_ / "backup", data_));
    EXPECT_OK(Start());
    EXPECT_EQ(Devices(), uint64_t{kDevices});
  }

  static constexpr int kDevices = 200;
  testing::TempDir dir_;
  const fs::path data_ = dir_ / "data", database_ = data_ / "state.db";
  const RealClock clock_;
  SecureRandom random_;
};

TEST_F(DataStateTest, AWholeStateStarts) {
  EXPECT_OK(Start());
  EXPECT_EQ(Devices(), uint64_t{kDevices});
  EXPECT_ERROR(SetAsideNow(), kFailedPrecondition, "nothing is wrong");
}

TEST_F(DataStateTest, KeysWithoutAStateAreRefused) {
  Forget();
  ExpectRefused(absl::StatusCode::kFailedPrecondition);
  EXPECT_FALSE(fs::exists(database_)) << "an empty fleet was begun";
  ExpectRestorable();
}

TEST_F(DataStateTest, AnEmptyStateBesideKeysIsRefused) {
  Forget();
  std::ofstream(database_).flush();
  ExpectRefused(absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(fs::file_size(database_), 0u);
  ExpectRestorable();
}

TEST_F(DataStateTest, AStateWithoutKeysIsRefused) {
  fs::rename(data_ / "keys", dir_ / "keys");
  ExpectRefused(absl::StatusCode::kFailedPrecondition);
  EXPECT_FALSE(fs::exists(data_ / "keys/ca.pem")) << "keys that no device trusts were made";
  ExpectRestorable();
}

TEST_F(DataStateTest, ADamagedStateIsRefused) {
  Damage();
  ExpectRefused(absl::StatusCode::kDataLoss);
  ExpectRestorable();
}

TEST_F(DataStateTest, WhatIsNoDatabaseIsRefused) {
  Forget();
  std::ofstream(database_) << std::string(5000, 'x');
  ExpectRefused(absl::StatusCode::kDataLoss);
  ExpectRestorable();
}

TEST_F(DataStateTest, ANewFleetIsBegunOnlyDeliberately) {
  Damage();
  ASSERT_OK(SetAsideNow());
  EXPECT_OK(Start());
  EXPECT_EQ(Devices(), 0u);
  const auto left = RealFileSystem().List(data_).value();
  const auto aside =
      std::ranges::find_if(left, [](const std::string& n) { return n.starts_with("lost-"); });
  ASSERT_NE(aside, left.end());
  for (const char* name : {"state.db", "keys/ca.pem", "keys/signing.pem"})
    EXPECT_TRUE(fs::exists(data_ / *aside / name)) << name;
}

TEST_F(DataStateTest, SettingAsideThatWasInterruptedIsFinishedByTheNext) {
  for (int changes = 0;; ++changes) {
    Damage();
    testing::FaultyFileSystem files({.changes = changes}, data_);
    const auto done = SetAside(files, clock_, data_);
    if (done.ok()) break;
    if (fs::exists(data_ / "keys") && fs::exists(database_)) continue;  // nothing was moved yet
    if (fs::exists(data_ / "keys")) {
      ExpectRefused(absl::StatusCode::kFailedPrecondition);
      ASSERT_OK(SetAsideNow());
    }
    ASSERT_OK(Restore(RealFileSystem(), dir_ / "backup", data_));
  }
  EXPECT_OK(Start());
  EXPECT_EQ(Devices(), 0u);
}

TEST_F(DataStateTest, NothingIsSetAsideWhereADaemonRunsOrNeverRan) {
  EXPECT_ERROR(SetAside(RealFileSystem(), clock_, dir_ / "elsewhere"), kNotFound, "--data");
  Forget();
  const auto lock = DataLock::Take(RealFileSystem(), data_);
  EXPECT_ERROR(SetAsideNow(), kFailedPrecondition, "another quantfleetd");
}

TEST_F(DataStateTest, ACheckThatTakesTooLongEndsAndTheDaemonStarts) {
  const auto check = [&](Duration at_most) {
    return *CheckSqliteStore(RealFileSystem(), clock_, database_, at_most);
  };
  EXPECT_EQ(check(std::chrono::hours(1)), DatabaseState::kWhole);
  EXPECT_EQ(check(std::chrono::seconds(0)), DatabaseState::kPartial);
}

}  // namespace
}  // namespace quantfleet::daemon
