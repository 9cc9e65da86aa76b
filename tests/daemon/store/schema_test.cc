// Migrations, seen from the database's side.
#include "daemon/store/sql/schema.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include "common/base/bytes.h"
#include "daemon/store/sql/store.h"
#include "tests/support/temp_dir.h"

namespace quantfleet::daemon {
namespace {

std::string Ask(const fs::path& database, const std::string& query) {
  sqlite3* db = nullptr;
  EXPECT_EQ(sqlite3_open(database.c_str(), &db), SQLITE_OK);
  std::string answer;
  auto row = [](void* out, int, char** values, char**) {
    *static_cast<std::string*>(out) = values[0] == nullptr ? "" : values[0];
    return 0;
  };
  EXPECT_EQ(sqlite3_exec(db, query.c_str(), row, &answer, nullptr), SQLITE_OK)
      << sqlite3_errmsg(db);
  sqlite3_close(db);
  return answer;
}

TEST(SchemaTest, ANewDatabaseHasTheNewestVersionAndNoBackup) {
  testing::TempDir dir;
  ASSERT_TRUE(Store::Open(dir / "s.db").ok());
  EXPECT_EQ(Ask(dir / "s.db", "SELECT version FROM schema_version"),
            std::to_string(SchemaSteps().size()));
  EXPECT_EQ(Ask(dir / "s.db", "PRAGMA journal_mode"), "wal");
  EXPECT_FALSE(fs::exists(dir / "s.db.v0.bak"));
}

TEST(SchemaTest, ADatabaseOfANewerProgramIsRefusedAndLeftAlone) {
  testing::TempDir dir;
  ASSERT_TRUE(Store::Open(dir / "s.db").ok());
  Ask(dir / "s.db", "UPDATE schema_version SET version = 999");
  const auto store = Store::Open(dir / "s.db");
  EXPECT_EQ(store.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Ask(dir / "s.db", "SELECT version FROM schema_version"), "999");
}

class MigrationTest : public ::testing::Test {
 protected:
  MigrationTest() {
    auto store = Store::Open(database_);
    v1::Model model;
    model.set_name("m");
    EXPECT_TRUE(store.ok() && (*store)->PutModel(model, {}).ok());
  }
  absl::Status OpenWith(SchemaStep extra) {
    std::vector<SchemaStep> steps(SchemaSteps().begin(), SchemaSteps().end());
    steps.push_back(extra);
    return Store::Open(database_, steps).status();
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

// What the first released schema holds comes over whole, and the copy from before stands beside it.
TEST(SchemaTest, AVersion1DatabaseMigratesAndKeepsItsRollouts) {
  testing::TempDir dir;
  const fs::path database = dir / "s.db";
  ASSERT_TRUE(Store::Open(database, SchemaSteps().first(1)).ok());
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
    const auto store = Store::Open(database);
    ASSERT_TRUE(store.ok()) << Describe(store.status());
    const auto rollout = (*store)->GetRollout("rollouts/1");
    ASSERT_TRUE(rollout.ok());
    EXPECT_EQ(rollout->state(), v1::Rollout::RUNNING);
    EXPECT_EQ(rollout->created_ms(), 5000);
    EXPECT_EQ(rollout->plan().phases_size(), 1);
    EXPECT_TRUE(rollout->phase_open());
    ASSERT_EQ(rollout->devices_size(), 1);
    EXPECT_EQ(rollout->devices(0).release(), 3u);
    EXPECT_EQ((*store)->GetRolloutHead("rollouts/0")->state(), v1::Rollout::FAILED);
    EXPECT_EQ((*store)->GetRolloutHead("rollouts/0")->finished_ms(), 4500);
    // A device that never comes back does not keep it open: it has a day from the rollout's
    // creation.
    EXPECT_TRUE((*store)->ListOverdueDevices("rollouts/1", 86'404'999)->empty());
    EXPECT_EQ((*store)->ListOverdueDevices("rollouts/1", 86'405'000)->size(), 1u);
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
  ASSERT_TRUE(Store::Open(database, SchemaSteps().first(2)).ok());
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
  const auto store = Store::Open(database);
  ASSERT_TRUE(store.ok()) << Describe(store.status());
  EXPECT_EQ((*store)->FindDevicesByAdmission("token t1")->size(), 1u);
  EXPECT_EQ((*store)->GetDevice("d1")->last_seen_ms(), 7);
  EXPECT_TRUE((*store)->UseToken("t1", HashText("s"), key, true, 1000).ok());
  EXPECT_EQ((*store)->UseToken("t1", HashText("s"), HashText("other"), false, 1000).status().code(),
            absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(Ask(dir / "s.db.v2.bak", "SELECT token FROM devices"), "t1");
}

}  // namespace
}  // namespace quantfleet::daemon
