// What a transaction is, whatever the database.
#include <thread>

#include "tests/daemon/store/store_fixture.h"

namespace quantfleet::daemon {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class TransactionTest : public StoreFixture {
 protected:
  absl::StatusCode Write(const std::function<absl::Status(Transaction&)>& body) {
    return store_->Write([&](Transaction& tx) { return body(tx); }).code();
  }
  std::vector<std::string> changes_;
  Subscription watching_ = store_->changes().Subscribe(
      [this](const Change& change) { changes_.push_back(change.name); });
};
INSTANTIATE_TEST_SUITE_P(Each, TransactionTest, ::testing::ValuesIn(StoreBackends()), BackendName);

TEST_P(TransactionTest, ItsWritesAreAllKeptOrNone) {
  EXPECT_EQ(Write([](Transaction& tx) -> absl::Status {
              QF_RETURN_IF_ERROR(tx.models().Put(SomeModel("lost"), {}).status());
              QF_RETURN_IF_ERROR(tx.jobs().Create(SomeJob("jobs/lost"), {}).status());
              EXPECT_EQ(tx.models().List()->size(), 1u) << "it sees its own";
              return Aborted("no");
            }),
            absl::StatusCode::kAborted);
  EXPECT_THAT(*Once(*store_)->models().List(), IsEmpty());
  EXPECT_THAT(*Once(*store_)->jobs().List(), IsEmpty());
  EXPECT_THAT(changes_, IsEmpty());
  EXPECT_EQ(Write([](Transaction& tx) -> absl::Status {
              QF_RETURN_IF_ERROR(tx.models().Put(SomeModel("a"), {}).status());
              return tx.models().Put(SomeModel("b"), {}).status();
            }),
            absl::StatusCode::kOk);
  EXPECT_EQ(Once(*store_)->models().List()->size(), 2u);
  EXPECT_THAT(changes_, ElementsAre("a", "b"));
}

// PostgreSQL takes nothing after an error and says OK to the COMMIT all the same; what SQLite has
// of it is a half.
TEST_P(TransactionTest, AWriteThatFailedIsNotPassedOver) {
  EXPECT_EQ(Write([](Transaction& tx) -> absl::Status {
              QF_RETURN_IF_ERROR(tx.models().Put(SomeModel("lost"), {}).status());
              // The database refuses slabs of no job.
              EXPECT_EQ(tx.jobs().PutSlabs("jobs/none", {{1, "x"}}).code(),
                        absl::StatusCode::kFailedPrecondition);
              return absl::OkStatus();
            }),
            absl::StatusCode::kAborted);
  EXPECT_EQ(Write([](Transaction& tx) -> absl::Status {
              v1::AllowedDevice one, two;
              one.set_device_id("d1");
              two.set_device_id("d2");
              // The store does: one is written, two are too many.
              EXPECT_EQ(tx.admission().Allow({one, two}, 1).status().code(),
                        absl::StatusCode::kResourceExhausted);
              return absl::OkStatus();
            }),
            absl::StatusCode::kAborted);
  EXPECT_THAT(*Once(*store_)->models().List(), IsEmpty());
  EXPECT_THAT(*Once(*store_)->admission().ListAllowed("", 10), IsEmpty());
  EXPECT_THAT(changes_, IsEmpty());
}

TEST_P(TransactionTest, WhatIsNotThereMayBeAskedFor) {
  EXPECT_EQ(Write([](Transaction& tx) -> absl::Status {
              EXPECT_EQ(tx.models().Get("m").status().code(), absl::StatusCode::kNotFound);
              return tx.models().Put(SomeModel("m"), {}).status();
            }),
            absl::StatusCode::kOk);
  EXPECT_EQ(Once(*store_)->models().List()->size(), 1u);
}

TEST_P(TransactionTest, AnExceptionTakesItBack) {
  ASSERT_OK(Once(*store_)->jobs().Create(SomeJob("jobs/1"), {}));
  EXPECT_EQ(Write([](Transaction& tx) {
              return tx.jobs()
                  .Update("jobs/1",
                          [](JobRecord& job) -> absl::Status {
                            job.job.set_state(v1::Job::FAILED);
                            throw std::runtime_error("surprise");
                          })
                  .status();
            }),
            absl::StatusCode::kInternal);
  EXPECT_EQ(Write([](Transaction& tx) -> absl::Status {
              QF_RETURN_IF_ERROR(tx.models().Put(SomeModel("lost"), {}).status());
              throw std::runtime_error("surprise");
            }),
            absl::StatusCode::kInternal);
  EXPECT_EQ(Once(*store_)->jobs().Get("jobs/1")->job.state(), v1::Job::QUEUED);
  EXPECT_THAT(*Once(*store_)->models().List(), IsEmpty());
}

TEST_P(TransactionTest, OneInsideAnotherIsAnErrorAndNotADeadlock) {
  EXPECT_EQ(Write([this](Transaction& tx) -> absl::Status {
              QF_RETURN_IF_ERROR(tx.models().Put(SomeModel("lost"), {}).status());
              return store_->Write([](Transaction& inner) -> absl::Status {
                return inner.models().Put(SomeModel("lost too"), {}).status();
              });
            }),
            absl::StatusCode::kInternal);
  EXPECT_EQ(Write([this](Transaction&) -> absl::Status {
              return store_->Read([](const Transaction&) { return absl::OkStatus(); });
            }),
            absl::StatusCode::kInternal);
  EXPECT_EQ(store_
                ->Read([this](const Transaction&) -> absl::Status {
                  return store_->Read([](const Transaction&) { return absl::OkStatus(); });
                })
                .code(),
            absl::StatusCode::kInternal);
  EXPECT_THAT(*Once(*store_)->models().List(), IsEmpty());
}

TEST_P(TransactionTest, AReaderSeesOneMomentWhileOthersWrite) {
  size_t models = 0;
  const absl::Status read = store_->Read([&](const Transaction& tx) -> absl::Status {
    EXPECT_EQ(tx.models().List()->size(), models);
    const v1::Model another = SomeModel(fmt::format("m{}", models));
    std::thread([&] { EXPECT_OK(Once(*store_)->models().Put(another, {})); }).join();
    EXPECT_EQ(tx.models().List()->size(), models++);
    return absl::OkStatus();
  });
  EXPECT_OK(read);
  EXPECT_EQ(Once(*store_)->models().List()->size(), models);
}

TEST_P(TransactionTest, MoreReadersThanSessionsTakeTurns) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 16; ++t)
    threads.emplace_back([this] {
      for (int i = 0; i < 10; ++i)
        EXPECT_OK(store_->Read([](const Transaction& tx) { return tx.models().List(); }));
    });
  for (std::thread& thread : threads) thread.join();
}

TEST_P(TransactionTest, WhatIsNotCommittedIsNotThere) {
  {
    auto open = store_->Begin();
    ASSERT_OK(open);
    ASSERT_OK((*open)->models().Put(SomeModel("lost"), {}));
  }
  EXPECT_THAT(*Once(*store_)->models().List(), IsEmpty());
  auto open = store_->Begin();
  ASSERT_OK(open);
  ASSERT_OK((*open)->models().Put(SomeModel("kept"), {}));
  EXPECT_THAT(changes_, IsEmpty());
  ASSERT_OK((*open)->Commit());
  EXPECT_THAT(changes_, ElementsAre("kept"));
  EXPECT_EQ(Once(*store_)->models().List()->size(), 1u);
}

// A subscriber hears of a change when it is there for everybody, and may ask for it.
TEST_P(TransactionTest, ChangesAreToldOutsideOfTheTransaction) {
  size_t seen = 0;
  auto asking = store_->changes().Subscribe(
      [&](const Change&) { seen = Once(*store_)->models().List()->size(); });
  ASSERT_OK(store_->Write([](Transaction& tx) { return tx.models().Put(SomeModel("m"), {}); }));
  EXPECT_EQ(seen, 1u);
}

TEST_P(TransactionTest, AnAnswerComesOutOfTheBody) {
  const absl::StatusOr<v1::Model> put =
      store_->Write([](Transaction& tx) { return tx.models().Put(SomeModel("m", 3), {}); });
  ASSERT_OK(put);
  EXPECT_EQ(put->parameters(), 3u);
  const auto got = store_->Read([](const Transaction& tx) { return tx.models().Get("m"); });
  ASSERT_OK(got);
  EXPECT_EQ(got->parameters(), 3u);
  EXPECT_EQ(
      store_->Read([](const Transaction& tx) { return tx.models().Get("n"); }).status().code(),
      absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace quantfleet::daemon
