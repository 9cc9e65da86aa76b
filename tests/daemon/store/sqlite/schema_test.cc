// Migrations, seen from the database's side.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "common/base/bytes.h"
#include "daemon/store/sqlite/sqlite_store.h"
#include "tests/daemon/store/once.h"
#include "tests/daemon/store/sqlite/ask.h"
#include "tests/support/temp_dir.h"

namespace quantfleet::daemon {
namespace {

TEST(SchemaTest, ANewDatabaseHasTheNewestVersionAndNoBackup) {
  testing::TempDir dir;
  ASSERT_TRUE(OpenSqliteStore(dir / "s.db").ok());
  EXPECT_EQ(Ask(dir / "s.db", "SELECT version FROM schema_version"),
            std::to_string(SchemaSteps().size()));
  EXPECT_EQ(Ask(dir / "s.db", "PRAGMA journal_mode"), "wal");
  EXPECT_FALSE(fs::exists(dir / "s.db.v0.bak"));
}

TEST(SchemaTest, ADatabaseOfANewerProgramIsRefusedAndLeftAlone) {
  testing::TempDir dir;
  ASSERT_TRUE(OpenSqliteStore(dir / "s.db").ok());
  Ask(dir / "s.db", "UPDATE schema_version SET version = 999");
  const auto store = OpenSqliteStore(dir / "s.db");
  EXPECT_EQ(store.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Ask(dir / "s.db", "SELECT version FROM schema_version"), "999");
}

class MigrationTest : public ::testing::Test {
 protected:
  MigrationTest() {
    auto store = OpenSqliteStore(database_);
    v1::Model model;
    model.set_name("m");
    EXPECT_TRUE(store.ok() && Once(**store)->models().Put(model, {}).ok());
  }
  absl::Status OpenWith(SchemaStep extra) {
    std::vector<SchemaStep> steps(SchemaSteps().begin(), SchemaSteps().end());
    steps.push_back(extra);
    return OpenSqliteStore(database_, steps).status();
  }
  const std::string before_ = std::to_string(SchemaSteps().size());
  testing::TempDir dir_;
  const fs::path database_ = dir_ / "s.db";
  const fs::path backup_ = dir_ / ("s.db.v" + before_ + ".bak");
};

TEST_F(MigrationTest, CopiesTheDatabaseThenMigrates) {
  constexpr const char* kStep[] = {"CREATE TABLE extra (id TEXT)", "DELETE FROM models"};
  ASSERT_TRUE(OpenWith(kStep).ok());
  EXPECT_EQ(Ask(database_, "SELECT version FROM schema_version"),
            std::to_string(SchemaSteps().size() + 1));
  EXPECT_EQ(Ask(database_, "SELECT COUNT(*) FROM models"), "0");
  EXPECT_EQ(Ask(backup_, "SELECT COUNT(*) FROM models"), "1");
  EXPECT_EQ(Ask(backup_, "SELECT version FROM schema_version"), before_);
}

TEST_F(MigrationTest, AStepThatFailsLeavesTheOldVersionAndMayBeTriedAgain) {
  constexpr const char* kBroken[] = {"DELETE FROM models", "CREATE TABEL"};
  EXPECT_FALSE(OpenWith(kBroken).ok());
  EXPECT_EQ(Ask(database_, "SELECT version FROM schema_version"), before_);
  EXPECT_EQ(Ask(database_, "SELECT COUNT(*) FROM models"), "1");
  constexpr const char* kMended[] = {"CREATE TABLE extra (id TEXT)"};
  EXPECT_TRUE(OpenWith(kMended).ok());
}

TEST(SchemaTest, ADamagedFileIsRefusedByName) {
  testing::TempDir dir;
  std::ofstream(dir / "s.db") << std::string(5000, 'x');
  const auto store = OpenSqliteStore(dir / "s.db");
  EXPECT_EQ(store.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(Message(store.status()), ::testing::HasSubstr("s.db"));
}

// What the first released schema holds comes over whole, and the copy from before stands beside it.
TEST(SchemaTest, AVersion1DatabaseMigratesAndKeepsItsRollouts) {
  testing::TempDir dir;
  const fs::path database = dir / "s.db";
  ASSERT_TRUE(OpenSqliteStore(database, SchemaSteps().first(1)).ok());
  v1::RolloutDevice row;
  row.set_device_id("d1");
  row.set_state(v1::RolloutDevice::IN_PROGRESS);
  row.set_release(3);
  Ask(database,
      "INSERT INTO rollouts (name, model, state, created_ms, finished_ms, position)"
      " VALUES ('rollouts/1', 'm', 1, 5000, 0, 1), ('rollouts/0', 'm', 3, 4000, 4500, 0)");
  Ask(database,
      "INSERT INTO rollout_devices (rollout, device, state, record) VALUES ('rollouts/1', 'd1', 2, "
      "'" +
          ToBase64Url(AsBytes(row.SerializeAsString())) + "')");
  {
    const auto store = OpenSqliteStore(database);
    ASSERT_TRUE(store.ok()) << Describe(store.status());
    const auto rollout = Once(**store)->rollouts().Get("rollouts/1");
    ASSERT_TRUE(rollout.ok());
    EXPECT_EQ(rollout->state(), v1::Rollout::RUNNING);
    EXPECT_EQ(rollout->created_ms(), 5000);
    EXPECT_EQ(rollout->plan().phases_size(), 1);
    EXPECT_TRUE(rollout->phase_open());
    ASSERT_EQ(rollout->devices_size(), 1);
    EXPECT_EQ(rollout->devices(0).release(), 3u);
    EXPECT_EQ(Once(**store)->rollouts().GetRecord("rollouts/0")->state(), v1::Rollout::FAILED);
    EXPECT_EQ(Once(**store)->rollouts().GetRecord("rollouts/0")->finished_ms(), 4500);
    // A device that never comes back does not keep it open: it has a day from the rollout's
    // creation.
    EXPECT_TRUE(Once(**store)->rollouts().ListOverdueDevices("rollouts/1", 86'404'999)->empty());
    EXPECT_EQ(Once(**store)->rollouts().ListOverdueDevices("rollouts/1", 86'405'000)->size(), 1u);
  }
  EXPECT_EQ(Ask(database, "SELECT version FROM schema_version"),
            std::to_string(SchemaSteps().size()));
  EXPECT_EQ(Ask(dir / "s.db.v1.bak", "SELECT version FROM schema_version"), "1");
  EXPECT_EQ(Ask(dir / "s.db.v1.bak", "SELECT COUNT(*) FROM rollout_devices"), "1");
}

// Whoever came in by a token may still repeat its enrollment, and no other key takes its use.
TEST(SchemaTest, AVersion2DatabaseMigratesAndKnowsWhoUsedWhichToken) {
  testing::TempDir dir;
  const fs::path database = dir / "s.db";
  ASSERT_TRUE(OpenSqliteStore(database, SchemaSteps().first(2)).ok());
  v1::EnrollmentToken token;
  token.set_id("t1");
  token.set_max_uses(1);
  token.set_uses(1);
  token.set_expires_ms(5000);
  v1::Device device;
  device.set_id("d1");
  device.set_state(v1::Device::ACTIVE);
  const auto pack = [](const auto& message) {
    return ToBase64Url(AsBytes(message.SerializeAsString()));
  };
  const Digest key = HashText("key");
  Ask(database, "INSERT INTO tokens (id, secret_hash, position, record) VALUES ('t1', '" +
                    HashText("s").hex() + "', 1, '" + pack(token) + "')");
  Ask(database,
      "INSERT INTO devices (id, public_key, token, last_seen_ms, record) VALUES ('d1', '" +
          key.hex() + "', 't1', 7, '" + pack(device) + "')");
  const auto store = OpenSqliteStore(database);
  ASSERT_TRUE(store.ok()) << Describe(store.status());
  EXPECT_EQ(Once(**store)->devices().FindByAdmission("token t1")->size(), 1u);
  EXPECT_EQ(Once(**store)->devices().Get("d1")->last_seen_ms(), 7);
  EXPECT_EQ(Once(**store)->tokens().FindUse("t1", key)->value(), 0);
  EXPECT_EQ(*Once(**store)->tokens().FindUse("t1", HashText("other")), std::nullopt);
  EXPECT_EQ(Ask(dir / "s.db.v2.bak", "SELECT token FROM devices"), "t1");
}

// Numbers go on where the version before counted them from what was highest.
TEST(SchemaTest, AVersion4DatabaseMigratesAndCountsOn) {
  testing::TempDir dir;
  const fs::path database = dir / "s.db";
  ASSERT_TRUE(OpenSqliteStore(database, SchemaSteps().first(4)).ok());
  const auto pack = [](const auto& message) {
    return ToBase64Url(AsBytes(message.SerializeAsString()));
  };
  v1::Rollout rollout;
  rollout.set_name("rollouts/1");
  rollout.set_state(v1::Rollout::RUNNING);
  v1::RolloutDevice a, b;
  a.set_device_id("a");
  b.set_device_id("b");
  Ask(database,
      "INSERT INTO rollouts (name, model, state, created_ms, finished_ms, position, record) VALUES "
      "('rollouts/1', 'm', 1, 1, 0, 7, '" +
          pack(rollout) + "')");
  Ask(database,
      "INSERT INTO rollout_devices (rollout, device, state, record, revision) VALUES "
      "('rollouts/1', "
      "'a', 0, '" +
          pack(a) + "', 4), ('rollouts/1', 'b', 0, '" + pack(b) + "', 9)");
  v1::Device device;
  device.set_id("d1");
  Ask(database,
      "INSERT INTO devices (id, public_key, admission, last_seen_ms, record) VALUES ('d1', '" +
          HashText("k").hex() + "', 'list', 1, '" + pack(device) + "')");
  Ask(database,
      "INSERT INTO assignments (device, model, release_number, manifest_digest, rollout, statement)"
      " VALUES ('d1', 'm', 41, '', 'rollouts/1', '')");
  v1::Job job;
  job.set_name("jobs/old");
  Ask(database,
      "INSERT INTO jobs (name, state, position, record, source_path, targets, plan_digest, "
      "source_fingerprint) VALUES ('jobs/old', 3, 12, '" +
          pack(job) + "', '', '', '', '')");
  {
    const auto store = OpenSqliteStore(database);
    ASSERT_TRUE(store.ok()) << Describe(store.status());
    EXPECT_EQ(Once(**store)->rollouts().GetChanges("rollouts/1", std::nullopt, 0)->revision(), 9u);
    ASSERT_TRUE(Once(**store)->rollouts().PutDevice("rollouts/1", a).ok());
    const auto news = Once(**store)->rollouts().GetChanges("rollouts/1", 9, 10);
    EXPECT_EQ(news->revision(), 10u);
    EXPECT_EQ(news->devices_size(), 1);
    const auto sign = [](uint64_t) -> absl::StatusOr<v1::Signed> { return v1::Signed(); };
    EXPECT_EQ(Once(**store)->assignments().Assign("d1", "m", "", "", sign)->release, 42u);
    JobRecord fresh;
    fresh.job.set_name("jobs/new");
    ASSERT_TRUE(Once(**store)->jobs().Create(fresh, {}).ok());
    EXPECT_EQ(Once(**store)->jobs().List()->front().name(), "jobs/new");
    v1::Rollout second = rollout;
    second.set_name("rollouts/2");
    ASSERT_TRUE(Once(**store)->rollouts().Create(second, {}).ok());
    EXPECT_EQ(Once(**store)->rollouts().List()->front().name(), "rollouts/2");
  }
  EXPECT_EQ(Ask(database, "SELECT position FROM jobs WHERE name = 'jobs/new'"), "13");
  EXPECT_EQ(Ask(database, "SELECT position FROM rollouts WHERE name = 'rollouts/2'"), "8");
  EXPECT_EQ(Ask(database, "SELECT value FROM counters WHERE name = 'pushes'"), "0");
  EXPECT_EQ(Ask(dir / "s.db.v4.bak", "SELECT version FROM schema_version"), "4");
}

// Whoever asks whether the daemon is ready, without a certificate, costs it no write.
TEST(SqliteStoreTest, ReadingWritesNothing) {
  testing::TempDir dir;
  const auto store = OpenSqliteStore(dir / "s.db");
  ASSERT_TRUE(store.ok());
  const Enrollment enrollment{HashText("k"), "list", {}, 1000};
  ASSERT_TRUE(Once(**store)->devices().Create(enrollment).ok());
  ASSERT_TRUE((*store)
                  ->Write([](Transaction& tx) -> absl::Status {
                    QF_ASSIGN_OR_RETURN(const v1::Device device, tx.devices().Get(""));
                    tx.devices().Touch(device, 2000);
                    return absl::OkStatus();
                  })
                  .ok());
  const auto written = [&] {
    return fs::file_size(dir / "s.db") + fs::file_size(dir / "s.db-wal");
  };
  const auto before = written();
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(
        (*store)->Read([](const Transaction& tx) { return tx.counts().Count(1500); })->devices_seen,
        1u);
  EXPECT_EQ(written(), before);
  EXPECT_EQ(Ask(dir / "s.db", "SELECT last_seen_ms FROM devices"), "1000");
  ASSERT_TRUE((*store)->Flush().ok());
  EXPECT_EQ(Ask(dir / "s.db", "SELECT last_seen_ms FROM devices"), "2000");
}

}  // namespace
}  // namespace quantfleet::daemon
