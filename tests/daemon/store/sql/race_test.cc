// What a database says was a race is run again, with nothing of the first time left.
#include <gtest/gtest.h>
#include <soci/sqlite3/soci-sqlite3.h>

#include "daemon/store/sql/schema.h"
#include "daemon/store/sql/sql_store.h"

namespace quantfleet::daemon {
namespace {

// Calls a broken constraint a race.
class RacingDatabase final : public Database {
 public:
  RacingDatabase() {
    sql_ << "PRAGMA foreign_keys = ON";
    for (const SchemaStep& step : SchemaSteps())
      for (const char* statement : step) sql_ << statement;
  }
  absl::StatusOr<std::unique_ptr<Lease>> Take(bool) override {
    return std::make_unique<Whole>(*this);
  }
  absl::Status StatusOf(const std::exception& error) const override {
    return Aborted("{}", error.what());
  }

 private:
  struct Whole final : Lease {
    explicit Whole(RacingDatabase& database) : database(database) {}
    soci::session& session() override { return database.sql_; }
    Prepared& prepared() override { return database.prepared_; }
    RacingDatabase& database;
  };
  soci::session sql_{soci::sqlite3, ":memory:"};
  Prepared prepared_{sql_};
};

class RaceTest : public ::testing::Test {
 protected:
  // A body that loses so many times.
  absl::Status Run(int losses) {
    return store_->Write([&](Transaction& tx) -> absl::Status {
      ++runs_;
      v1::Model model;
      model.set_name("run " + std::to_string(runs_));
      QF_RETURN_IF_ERROR(tx.models().Put(model, {}).status());
      if (runs_ <= losses) return tx.jobs().PutSlabs("jobs/none", {{1, "x"}});
      return absl::OkStatus();
    });
  }
  size_t Models() {
    return store_->Read([](const Transaction& tx) { return tx.models().List(); })->size();
  }

  const std::unique_ptr<Store> store_ = MakeSqlStore(std::make_unique<RacingDatabase>());
  int runs_ = 0, told_ = 0;
  Subscription watching_ = store_->changes().Subscribe([this](const Change&) { ++told_; });
};

TEST_F(RaceTest, WhoLosesTriesAgain) {
  EXPECT_TRUE(Run(3).ok());
  EXPECT_EQ(runs_, 4);
  EXPECT_EQ(Models(), 1u);
  EXPECT_EQ(told_, 1);
}

TEST_F(RaceTest, WhoLosesForeverIsTold) {
  EXPECT_EQ(Run(1000).code(), absl::StatusCode::kAborted);
  EXPECT_LT(runs_, 1000);
  EXPECT_EQ(Models(), 0u);
  EXPECT_EQ(told_, 0);
}

TEST_F(RaceTest, AnErrorThatIsNoRaceIsNotTriedAgain) {
  const absl::Status status = store_->Write([&](Transaction& tx) {
    ++runs_;
    return tx.models().FinishPush("none", 1);
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(runs_, 1);
}

}  // namespace
}  // namespace quantfleet::daemon
