// What every blob store has to do. A test of a store includes this once and names a way to open an
// empty one:
//   INSTANTIATE_TEST_SUITE_P(Folder, BlobStoreContract, ::testing::Values(OpenFolder));
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <set>
#include <thread>
#include <vector>

#include "pipeline/artifact/blob_store.h"
#include "tests/support/noise.h"
#include "tests/support/status_matchers.h"

namespace quantfleet::testing {

using BlobStoreFactory = std::function<std::unique_ptr<pipeline::BlobStore>()>;

class BlobStoreContract : public ::testing::TestWithParam<BlobStoreFactory> {
 protected:
  static Bytes Text(size_t size) {
    Bytes text(size);
    for (size_t i = 0; i < size; ++i) text[i] = static_cast<std::byte>(i % 100);
    return text;
  }
  std::set<std::string> Names() const {
    std::set<std::string> names;
    EXPECT_OK(store_->List([&](const Digest& digest, const pipeline::BlobStore::Stored& stored) {
      names.insert(fmt::format("{}.{}", digest.hex(), pipeline::Name(stored.encoding)));
      return absl::OkStatus();
    }));
    return names;
  }
  absl::StatusOr<Bytes> Range(const Digest& digest, pipeline::Encoding encoding, uint64_t first,
                              uint64_t length) const {
    QF_ASSIGN_OR_RETURN(const auto reader, store_->OpenRange(digest, encoding, first, length));
    Bytes bytes(length);
    // In two pieces, as a server sends them.
    QF_RETURN_IF_ERROR(reader->Read(MutableBytes(bytes).first(length / 2)));
    QF_RETURN_IF_ERROR(reader->Read(MutableBytes(bytes).subspan(length / 2)));
    EXPECT_EQ(reader->remaining(), 0u);
    std::byte more;
    EXPECT_EQ(reader->Read({&more, 1}).code(), absl::StatusCode::kOutOfRange);
    return bytes;
  }

  const std::unique_ptr<pipeline::BlobStore> store_ = GetParam()();
};

TEST_P(BlobStoreContract, WhatIsPutIsFoundReadListedAndRemoved) {
  for (const Bytes& plain : {Noise(70000, 1), Bytes(70000), Text(5000), Bytes{}}) {
    const Digest digest = HashBytes(plain);
    const auto size = static_cast<uint32_t>(plain.size());
    EXPECT_EQ(store_->Stat(digest).status().code(), absl::StatusCode::kNotFound);
    EXPECT_EQ(store_->Read(digest, size).status().code(), absl::StatusCode::kNotFound);
    EXPECT_OK(store_->Remove(digest));
    const auto put = store_->Put(digest, plain, 1);
    ASSERT_OK(put);
    const auto found = store_->Stat(digest);
    ASSERT_OK(found);
    EXPECT_EQ(found->encoding, put->encoding);
    EXPECT_EQ(found->stored_size, put->stored_size);
    EXPECT_EQ(*store_->Stat(digest, put->encoding), put->stored_size);
    const auto read = store_->Read(digest, size);
    ASSERT_OK(read);
    EXPECT_EQ(*read, plain);
    EXPECT_THAT(Names(), ::testing::ElementsAre(
                             fmt::format("{}.{}", digest.hex(), pipeline::Name(put->encoding))));
    EXPECT_OK(store_->Put(digest, plain, 1)) << "again";
    EXPECT_EQ(Names().size(), 1u);
    ASSERT_OK(store_->Remove(digest));
    EXPECT_TRUE(Names().empty());
    EXPECT_EQ(store_->Stat(digest, put->encoding).status().code(), absl::StatusCode::kNotFound);
  }
}

TEST_P(BlobStoreContract, RangesOfAStoredFormAreItsBytes) {
  const Bytes plain = Noise(200'000, 5);
  const Digest digest = HashBytes(plain);
  ASSERT_OK(store_->PutForm(digest, pipeline::Encoding::kRaw, plain));
  for (const auto& [first, length] :
       {std::pair<uint64_t, uint64_t>{0, 200'000}, {0, 1}, {65'535, 2}, {199'999, 1}, {7, 0}}) {
    const auto range = Range(digest, pipeline::Encoding::kRaw, first, length);
    ASSERT_OK(range);
    EXPECT_TRUE(std::ranges::equal(*range, ByteSpan(plain).subspan(first, length)));
  }
  for (const auto& [first, length] :
       {std::pair<uint64_t, uint64_t>{200'001, 0}, {200'000, 1}, {0, 200'001}, {1, UINT64_MAX}})
    EXPECT_EQ(store_->OpenRange(digest, pipeline::Encoding::kRaw, first, length).status().code(),
              absl::StatusCode::kOutOfRange);
  EXPECT_EQ(store_->OpenRange(digest, pipeline::Encoding::kZstd, 0, 1).status().code(),
            absl::StatusCode::kNotFound);
}

TEST_P(BlobStoreContract, AnOpenRangeOutlivesTheBlob) {
  const Bytes plain = Noise(1000, 6);
  const Digest digest = HashBytes(plain);
  ASSERT_OK(store_->PutForm(digest, pipeline::Encoding::kRaw, plain));
  const auto reader = store_->OpenRange(digest, pipeline::Encoding::kRaw, 0, 1000);
  ASSERT_OK(reader);
  ASSERT_OK(store_->Remove(digest));
  Bytes read(1000);
  const absl::Status status = (*reader)->Read(read);
  // All of it, or the truth: a store may have let go of the bytes.
  EXPECT_TRUE(status.ok() ? read == plain : absl::IsDataLoss(status) || absl::IsNotFound(status));
}

TEST_P(BlobStoreContract, DamageIsFound) {
  const Bytes plain = Text(100'000);
  const Digest digest = HashBytes(plain);
  ASSERT_OK(store_->Put(digest, plain, 1));
  EXPECT_EQ(store_->Read(digest, 100'001).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(store_->Read(digest, 99'999).status().code(), absl::StatusCode::kDataLoss);
  const auto stored = store_->Stat(digest);
  ASSERT_OK(stored);
  for (const Bytes& other : {Noise(stored->stored_size, 7), Noise(300'000, 7), Bytes{}}) {
    ASSERT_OK(store_->PutForm(digest, stored->encoding, other));
    EXPECT_EQ(store_->Read(digest, 100'000).status().code(), absl::StatusCode::kDataLoss);
  }
  ASSERT_OK(store_->Put(digest, plain, 1)) << "what is stored again is whole again";
  EXPECT_OK(store_->Read(digest, 100'000));
}

TEST_P(BlobStoreContract, AFormThatIsDamagedGivesWayToTheOneThatIsPut) {
  const Bytes plain = Text(100'000);  // which is worth compressing
  const Digest digest = HashBytes(plain);
  ASSERT_OK(store_->PutForm(digest, pipeline::Encoding::kRaw, Noise(100'000, 7)));
  ASSERT_OK(store_->Put(digest, plain, 1));
  EXPECT_EQ(Names().size(), 1u);
  EXPECT_OK(store_->Read(digest, 100'000));
}

TEST_P(BlobStoreContract, ACheckRemovesWhatIsDamagedAndNothingElse) {
  const Bytes plain = Text(100'000);
  const Digest digest = HashBytes(plain);
  const auto check = [&] {
    const auto checked = store_->Check(digest, 100'000);
    EXPECT_OK(checked);
    return checked.value_or(pipeline::BlobStore::Checked{});
  };
  EXPECT_TRUE(!check().whole && !check().damaged) << "it is not there";
  const auto stored = store_->Put(digest, plain, 1);
  ASSERT_OK(stored);
  EXPECT_TRUE(check().whole && !check().damaged);
  EXPECT_EQ(check().bytes, stored->stored_size);
  const auto reader = store_->OpenRange(digest, stored->encoding, 0, stored->stored_size);
  ASSERT_OK(reader);
  Bytes form(stored->stored_size);
  ASSERT_OK((*reader)->Read(form));

  Bytes flipped = form, hole = form;
  flipped[flipped.size() / 2] ^= std::byte{1};
  std::fill(hole.begin() + 5, hole.begin() + 25, std::byte{});
  const Bytes cut(form.begin(), form.end() - 1);
  for (const Bytes& damaged : {flipped, hole, cut, Bytes{}}) {
    ASSERT_OK(store_->PutForm(digest, stored->encoding, damaged));
    const auto found = check();
    EXPECT_TRUE(found.damaged && !found.whole);
    EXPECT_FALSE(found.what.empty());
    EXPECT_TRUE(Names().empty());
  }
  // One form of two: what is whole stays.
  ASSERT_OK(store_->Put(digest, plain, 1));
  ASSERT_NE(stored->encoding, pipeline::Encoding::kRaw);
  ASSERT_OK(store_->PutForm(digest, pipeline::Encoding::kRaw, Noise(100'000, 7)));
  const auto found = check();
  EXPECT_TRUE(found.damaged && found.whole);
  EXPECT_OK(store_->Read(digest, 100'000));
}

TEST_P(BlobStoreContract, ManyThreadsStoreTheSameChunks) {
  std::vector<Bytes> chunks;
  for (uint64_t i = 0; i < 3; ++i) chunks.push_back(Noise(3000, i));
  std::atomic<int> failures{0};
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([&] {
        for (const Bytes& chunk : chunks) failures += !store_->Put(HashBytes(chunk), chunk, 1).ok();
      });
  }
  EXPECT_EQ(failures, 0);
  EXPECT_EQ(Names().size(), chunks.size());
  for (const Bytes& chunk : chunks) EXPECT_OK(store_->Read(HashBytes(chunk), 3000));
}

TEST_P(BlobStoreContract, AListMayRemoveWhatItShowsAndEndsWithTheFirstError) {
  for (uint64_t i = 0; i < 5; ++i) {
    const Bytes plain = Noise(100, i);
    ASSERT_OK(store_->Put(HashBytes(plain), plain, 1));
  }
  int seen = 0;
  const auto two = [&](const Digest&, const pipeline::BlobStore::Stored&) {
    return ++seen == 2 ? Cancelled("enough") : absl::OkStatus();
  };
  EXPECT_EQ(store_->List(two).code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(seen, 2);
  EXPECT_OK(store_->List([&](const Digest& digest, const pipeline::BlobStore::Stored&) {
    return store_->Remove(digest);
  }));
  EXPECT_TRUE(Names().empty());
}

TEST_P(BlobStoreContract, TooLargeIsRefused) {
  const Bytes plain(pipeline::kMaxChunkBytes + 1);
  EXPECT_EQ(store_->Put(HashBytes(plain), plain, 1).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(store_->Read(HashBytes(plain), pipeline::kMaxChunkBytes + 1).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace quantfleet::testing
