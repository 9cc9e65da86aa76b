#include "daemon/maintenance.h"

#include <gmock/gmock.h>
#include <soci/soci.h>

#include "common/trust/statement.h"
#include "common/trust/trust_root.h"
#include "daemon/data_lock.h"
#include "daemon/jobs/model_place.h"
#include "daemon/store/sqlite/sqlite_store.h"
#include "daemon/store/store.h"
#include "daemon/trust/authority.h"
#include "tests/daemon/store/once.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace quantfleet::daemon {
namespace {

using ::testing::HasSubstr;
using testing::Names;
using ::testing::Not;

// A data folder with a device that was told something, as a daemon leaves it.
class MaintenanceTest : public ::testing::Test {
 protected:
  MaintenanceTest() {
    EXPECT_OK(RealFileSystem().CreateDirectories(data_));
    const auto store = OpenSqliteStore(data_ / "state.db").value();
    const auto authority = Authority::Open(RealFileSystem(), clock_, data_, {}).value();
    EXPECT_OK(authority->ServerIdentity().status());
    first_root_ = authority->trust_root();
    Enrollment enrollment{HashText("key"), "list", {}, 1};
    enrollment.device.set_id("d1");
    enrollment.device.set_state(v1::Device::ACTIVE);
    EXPECT_OK(Once(*store)->devices().Create(enrollment).status());
    EXPECT_OK(Once(*store)
                  ->assignments()
                  .Assign("d1", "m", HashText("a").raw(), "",
                          [&](uint64_t) -> absl::StatusOr<v1::Signed> {
                            return authority->SignStatement(trust::kAssignmentType, "told");
                          })
                  .status());
  }
  v1::Signed Told(const fs::path& data) {
    const auto store = OpenSqliteStore(data / "state.db").value();
    return Once(*store)->assignments().List("d1")->front().statement;
  }
  v1::TrustRoot Root(const fs::path& data) {
    return Authority::Open(RealFileSystem(), clock_, data, {}).value()->trust_root();
  }
  void DeviceHears(uint32_t version, uint32_t certificate = 0) {
    const auto store = OpenSqliteStore(data_ / "state.db").value();
    ASSERT_OK(Once(*store)
                  ->devices()
                  .Update("d1",
                          [&](v1::Device& device) {
                            device.set_trust_root_version(version);
                            device.set_certificate_root_version(certificate);
                            return absl::OkStatus();
                          })
                  .status());
  }
  absl::StatusOr<std::string> BackUp(const fs::path& data, bool models = false) {
    return daemon::BackUp(RealFileSystem(), data, dir_ / "backup", models);
  }
  // A pushed model: its record, and its file.
  void Push(const std::string& name, const std::string& recorded) {
    v1::Model model;
    model.set_name(name);
    model.set_path(recorded);
    const auto store = OpenSqliteStore(data_ / "state.db").value();
    ASSERT_OK(Once(*store)->models().Put(model, {}).status());
    const fs::path folder = data_ / "models" / fs::path(recorded).filename() / "deep";
    ASSERT_OK(RealFileSystem().MakeFolder(folder));
    ASSERT_OK(RealFileSystem().WriteAtomically(folder / "f", AsBytes("weights of " + name)));
  }
  absl::StatusOr<std::string> Retire(bool force = false) {
    return RetireOldKeys(RealFileSystem(), clock_, data_, force);
  }

  testing::TempDir dir_;
  const fs::path data_ = dir_ / "data";
  ManualClock clock_;
  v1::TrustRoot first_root_;
};

TEST_F(MaintenanceTest, ABackUpOfARunningDaemonBecomesAnotherFolder) {
  const auto lock = DataLock::Take(RealFileSystem(), data_);  // its daemon runs
  ASSERT_OK(lock.status());
  ASSERT_OK(BackUp(data_));
  EXPECT_ERROR(BackUp(data_), kAlreadyExists, "backup");
  EXPECT_EQ(fs::status(dir_ / "backup/keys").permissions() & fs::perms::mask, fs::perms::owner_all);
  ASSERT_OK(Restore(RealFileSystem(), dir_ / "backup", dir_ / "other"));
  EXPECT_EQ(Root(dir_ / "other").SerializeAsString(), first_root_.SerializeAsString());
  EXPECT_EQ(Told(dir_ / "other").SerializeAsString(), Told(data_).SerializeAsString());
}

TEST_F(MaintenanceTest, ABackUpSaysThatItLeavesPushedModelsOutAndTheRestoreWhich) {
  Push("demo", "models/demo-p0123456789abcdef");
  const auto made = BackUp(data_);
  ASSERT_OK(made.status());
  EXPECT_THAT(*made, Names("pushed models", "--models"));
  const auto restored = Restore(RealFileSystem(), dir_ / "backup", dir_ / "other");
  ASSERT_OK(restored.status());
  EXPECT_THAT(*restored, Names("demo", "push"));
}

TEST_F(MaintenanceTest, PushedModelsComeAlongWhereverTheDataGoes) {
  Push("demo", "models/demo-p0123456789abcdef");
  Push("old", (data_ / "models/old-pfedcba9876543210").string());  // as it was recorded before
  const auto made = BackUp(data_, /*models=*/true);
  ASSERT_OK(made.status());
  EXPECT_THAT(*made, Not(HasSubstr("--models")));
  fs::remove_all(data_);
  // One that was begun before and was cut off is of no matter.
  fs::create_directories(dir_ / "other/models/.demo-p0123456789abcdef.partial/deep");
  const auto restored = Restore(RealFileSystem(), dir_ / "backup", dir_ / "other");
  ASSERT_OK(restored.status());
  EXPECT_THAT(*restored, Not(HasSubstr("demo")));
  EXPECT_EQ(*RealFileSystem().ReadAll(dir_ / "other/models/demo-p0123456789abcdef/deep/f"),
            "weights of demo");
  const auto store = OpenSqliteStore(dir_ / "other/state.db").value();
  const auto models = Once(*store)->models().List();
  ASSERT_OK(models.status());
  ASSERT_EQ(models->size(), 2u);
  for (const v1::Model& model : *models)
    EXPECT_TRUE(fs::exists(PlaceOf(RealFileSystem(), dir_ / "other", model.path()) / "deep/f"))
        << model.name();
}

TEST_F(MaintenanceTest, NothingIsOverwrittenAndNothingMadeOfHalf) {
  EXPECT_ERROR(BackUp(dir_ / "none"), kNotFound, "--data");
  EXPECT_FALSE(fs::exists(dir_ / "backup"));
  ASSERT_OK(BackUp(data_));
  EXPECT_ERROR(Restore(RealFileSystem(), dir_ / "backup", data_), kFailedPrecondition,
               data_.string());
  fs::remove(dir_ / "backup/keys/signing.pem");
  EXPECT_ERROR(Restore(RealFileSystem(), dir_ / "backup", dir_ / "other"), kNotFound,
               "signing.pem");
  EXPECT_FALSE(fs::exists(dir_ / "other"));
}

TEST_F(MaintenanceTest, ARotationSignsWhatIsKeptAndWaitsForTheDevices) {
  ASSERT_OK(RotateSigningKey(RealFileSystem(), clock_, data_).status());
  const v1::TrustRoot both = Root(data_);
  EXPECT_EQ(both.version(), 2u);
  EXPECT_EQ(Told(data_).signatures_size(), 2);
  EXPECT_ERROR(RotateSigningKey(RealFileSystem(), clock_, data_), kFailedPrecondition, "retire");
  EXPECT_ERROR(Retire(), kFailedPrecondition, "d1");
  DeviceHears(2);
  ASSERT_OK(Retire().status());
  const v1::TrustRoot last = Root(data_);
  EXPECT_EQ(last.version(), 3u);
  EXPECT_OK(trust::Verify(Told(data_), trust::kAssignmentType, last));
  EXPECT_OK(trust::Verify(Told(data_), trust::kAssignmentType, both));
}

// A key that others may have read must go, whatever the disk has done to a statement.
TEST_F(MaintenanceTest, ADamagedStatementDoesNotKeepTheKeyFromBeingChanged) {
  {
    const auto store = OpenSqliteStore(data_ / "state.db").value();
    Enrollment enrollment{HashText("key of d2"), "list", {}, 1};
    enrollment.device.set_id("d2");
    enrollment.device.set_state(v1::Device::REVOKED);
    ASSERT_OK(Once(*store)->devices().Create(enrollment).status());
    ASSERT_OK(Once(*store)
                  ->assignments()
                  .Assign("d2", "m", HashText("a").raw(), "",
                          [](uint64_t) -> absl::StatusOr<v1::Signed> { return v1::Signed(); })
                  .status());
  }
  soci::session("sqlite3", "db=" + (data_ / "state.db").string())
      << "UPDATE assignments SET statement = 'CgX_' WHERE device = 'd2'";
  const auto rotated = RotateSigningKey(RealFileSystem(), clock_, data_);
  ASSERT_OK(rotated.status());
  EXPECT_THAT(*rotated, Names((data_ / "state.db").string(), "d2"));
  EXPECT_EQ(Told(data_).signatures_size(), 2) << "the other one is signed";
  DeviceHears(2);
  EXPECT_OK(Retire().status());
}

TEST_F(MaintenanceTest, AChangeOfTheCaWaitsForCertificatesToo) {
  ASSERT_OK(RotateCa(RealFileSystem(), clock_, data_).status());
  EXPECT_EQ(Root(data_).version(), 2u);
  EXPECT_ERROR(RotateSigningKey(RealFileSystem(), clock_, data_), kFailedPrecondition, "2 CAs");
  EXPECT_ERROR(Retire(), kFailedPrecondition, "d1");
  DeviceHears(2);
  EXPECT_ERROR(Retire(), kFailedPrecondition, "certificate");
  DeviceHears(2, /*certificate=*/2);
  const auto done = Retire();
  ASSERT_OK(done.status());
  EXPECT_THAT(*done, HasSubstr("enrollment tokens"));
  EXPECT_EQ(Root(data_).version(), 3u);
  EXPECT_EQ(trust::SplitCertificates(Root(data_).ca_pem()).value().size(), 1u);
}

TEST_F(MaintenanceTest, ForceLeavesWhoHasNotHeardBehind) {
  ASSERT_OK(RotateSigningKey(RealFileSystem(), clock_, data_).status());
  ASSERT_OK(Retire(true).status());
  EXPECT_OK(trust::Verify(Told(data_), trust::kAssignmentType, Root(data_)));
}

TEST_F(MaintenanceTest, AClockIsAcceptedByCommand) {
  const ManualClock behind(clock_.Now() - std::chrono::hours(48));
  EXPECT_ERROR(RotateCa(RealFileSystem(), behind, data_), kFailedPrecondition,
               "quantfleetd clock accept");
  EXPECT_ERROR(AcceptClock(RealFileSystem(), behind, dir_ / "nothing"), kNotFound, "--data");
  ASSERT_OK(AcceptClock(RealFileSystem(), behind, data_).status());
  EXPECT_OK(RotateCa(RealFileSystem(), behind, data_).status());
}

TEST_F(MaintenanceTest, ABackUpHoldsTheRootsBetween) {
  ASSERT_OK(RotateSigningKey(RealFileSystem(), clock_, data_).status());
  ASSERT_OK(Retire(true).status());
  ASSERT_OK(BackUp(data_));
  ASSERT_OK(Restore(RealFileSystem(), dir_ / "backup", dir_ / "other"));
  v1::TrustRoot root = first_root_;
  for (const v1::Signed& statement : Authority::Open(RealFileSystem(), clock_, dir_ / "other", {})
                                         .value()
                                         ->TrustRootsAfter(root.version()))
    EXPECT_TRUE(trust::Succeed(root, statement));
  EXPECT_EQ(root.version(), 3u);
}

TEST_F(MaintenanceTest, AFolderThatOthersMayChangeIsRefused) {
  for (const fs::path& path : {data_, data_ / "state.db"}) {
    const fs::perms before = fs::status(path).permissions();
    fs::permissions(path, fs::perms::others_write, fs::perm_options::add);
    EXPECT_ERROR(RotateSigningKey(RealFileSystem(), clock_, data_), kFailedPrecondition,
                 "chmod go-w " + path.string());
    EXPECT_ERROR(Retire(), kFailedPrecondition, "chmod go-w " + path.string());
    fs::permissions(path, before);
  }
  EXPECT_OK(RotateSigningKey(RealFileSystem(), clock_, data_).status());
}

TEST_F(MaintenanceTest, ARotationThatWasCutShortIsEnded) {
  ASSERT_OK(Authority::RotateSigningKey(RealFileSystem(), data_));
  EXPECT_EQ(Told(data_).signatures_size(), 1);
  const auto ended = RotateSigningKey(RealFileSystem(), clock_, data_);
  ASSERT_OK(ended.status());
  EXPECT_THAT(*ended, Names("interrupted", ": 1)"));
  EXPECT_EQ(Told(data_).signatures_size(), 2);
  EXPECT_EQ(Root(data_).version(), 2u);
}

TEST_F(MaintenanceTest, ARunningDaemonsKeysAreLeftAlone) {
  const auto lock = DataLock::Take(RealFileSystem(), data_);
  ASSERT_OK(lock.status());
  EXPECT_ERROR(RotateSigningKey(RealFileSystem(), clock_, data_), kFailedPrecondition, "");
  EXPECT_ERROR(Retire(), kFailedPrecondition, "");
  EXPECT_EQ(Root(data_).version(), 1u);
}

}  // namespace
}  // namespace quantfleet::daemon
