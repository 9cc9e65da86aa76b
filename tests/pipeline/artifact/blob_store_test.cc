// What Put and Read make of a store's answers, and the stores that tests use.
#include "pipeline/artifact/blob_store.h"

#include "tests/support/blob_store_contract.h"
#include "tests/support/faulty_blob_store.h"
#include "tests/support/memory_blob_store.h"

namespace quantfleet::testing {
namespace {

INSTANTIATE_TEST_SUITE_P(Memory, BlobStoreContract,
                         ::testing::Values([] { return std::make_unique<MemoryBlobStore>(); }));

class FaultyBlobStoreTest : public ::testing::Test {
 protected:
  absl::StatusOr<pipeline::BlobStore::Stored> Put() { return store_.Put(digest_, plain_, 1); }
  absl::StatusCode Read() { return store_.Read(digest_, 5000).status().code(); }

  const Bytes plain_ = Noise(5000, 2);
  const Digest digest_ = HashBytes(plain_);
  MemoryBlobStore real_;
  FaultyBlobStore store_{real_};
};

TEST_F(FaultyBlobStoreTest, AFailureReachesTheCaller) {
  for (const int works : {0, 1}) {
    store_.Fail(ResourceExhausted("full (injected)"), works);
    EXPECT_EQ(Put().status().code(), absl::StatusCode::kResourceExhausted);
    EXPECT_EQ(real_.Stat(digest_).status().code(), absl::StatusCode::kNotFound);
  }
  store_.Fail(absl::OkStatus());
  ASSERT_OK(Put());
  store_.Fail(Unavailable("gone (injected)"));
  EXPECT_EQ(Read(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(store_.Stat(digest_).status().code(), absl::StatusCode::kUnavailable)
      << "not to be asked is not not to be there";
}

TEST_F(FaultyBlobStoreTest, CutBytesAndFalseSizesAreDamage) {
  ASSERT_OK(Put());
  store_.CutAfter(4999);
  EXPECT_EQ(Read(), absl::StatusCode::kDataLoss);
  store_.CutAfter(std::nullopt);
  store_.LieAboutSizes(1);
  EXPECT_EQ(Read(), absl::StatusCode::kDataLoss);
  store_.LieAboutSizes(-1);
  EXPECT_EQ(Read(), absl::StatusCode::kDataLoss);
  store_.LieAboutSizes(0);
  EXPECT_EQ(Read(), absl::StatusCode::kOk);
}

TEST_F(FaultyBlobStoreTest, ADiskThatCannotBeReadIsNotDamage) {
  const auto put = Put();
  ASSERT_OK(put);
  for (const int works : {0, 1, 2}) {
    store_.Fail(Unavailable("reading (injected)"), works);
    EXPECT_EQ(store_.Check(digest_, 5000).status().code(), absl::StatusCode::kUnavailable);
  }
  store_.Fail(absl::OkStatus());
  EXPECT_TRUE(store_.Check(digest_, 5000)->whole) << "it is still there";
  ASSERT_OK(Put());
}

}  // namespace
}  // namespace quantfleet::testing
