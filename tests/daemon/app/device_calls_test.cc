// What devices are told of artifacts that the daemon does not have whole.
#include "daemon/app/device_calls.h"

#include "pipeline/artifact/manifest.h"
#include "tests/daemon/app/app_fixture.h"
#include "tests/daemon/store/once.h"
#include "tests/support/status_matchers.h"

namespace quantfleet::daemon::app {
namespace {

class DeviceCallsTest : public AppFixture {
 protected:
  DeviceCallsTest() {
    v1::Manifest manifest;
    v1::Chunk& chunk = *manifest.add_files()->add_chunks();
    chunk.set_digest(blob_.raw());
    chunk.set_size(static_cast<uint32_t>(kText.size()));
    EXPECT_OK(blobs_.Put(blob_, AsBytes(kText), 1));
    ArtifactRecord record;
    record.manifest = pipeline::SerializeManifest(manifest);
    digest_ = HashText(record.manifest);
    record.artifact.set_name(name_ = "artifacts/" + digest_.hex());
    record.artifact.set_model("m");
    EXPECT_OK(Once(*store_)->artifacts().Put(record));
    caller_ = {Enrolled(device_).certificate_pem};
    const auto sign = [](uint64_t) -> absl::StatusOr<v1::Signed> { return v1::Signed(); };
    EXPECT_OK(
        Once(*store_)->assignments().Assign(device_.id, "m", digest_.raw(), "rollouts/1", sign));
    scrubber_.Begin();
    EXPECT_OK(scrubber_.Turn({}));
    clock_.Advance(std::chrono::minutes(1));
  }
  absl::Status Get() {
    v1::GetDeviceArtifactRequest request;
    request.set_manifest_digest(digest_.raw());
    return app_.device_calls.GetArtifact(caller_, request).status();
  }
  std::vector<std::string> Damaged() {
    EXPECT_OK(scrubber_.Turn({}));
    return *Once(*store_)->artifacts().ListDamaged();
  }

  static constexpr std::string_view kText = "what the artifact consists of";
  const Digest blob_ = HashText(kText);
  Digest digest_;
  std::string name_;
  FakeDevice device_{"iot"};
  Caller caller_;
};

TEST_F(DeviceCallsTest, ABlobThatIsMissingIsWaitedForAndMarked) {
  ASSERT_OK(Get());
  EXPECT_TRUE(Damaged().empty());
  ASSERT_OK(blobs_.Remove(blob_));
  EXPECT_EQ(Get().code(), absl::StatusCode::kUnavailable) << "the device asks again";
  EXPECT_EQ(Damaged().size(), 1u);
  ASSERT_OK(blobs_.Put(blob_, AsBytes(kText), 1));
  EXPECT_OK(Get());
}

TEST_F(DeviceCallsTest, ABlobThatIsTooShortIsWaitedForAndMarked) {
  ASSERT_OK(blobs_.PutForm(blob_, pipeline::Encoding::kRaw, AsBytes(kText.substr(1))));
  EXPECT_EQ(Get().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(Damaged().size(), 1u);
}

TEST_F(DeviceCallsTest, WhatADeviceCouldNotVerifyIsLookedAt) {
  std::string other(kText);
  other[3] ^= 1;
  ASSERT_OK(blobs_.PutForm(blob_, pipeline::Encoding::kRaw, AsBytes(other)));
  ASSERT_OK(Get());
  v1::CheckInRequest request;
  v1::ModelStatus& status = *request.add_models();
  status.set_model("m");
  status.set_release(1);
  status.set_phase(v1::ModelStatus::FAILED);
  status.set_reason("health_failed");
  ASSERT_OK(app_.device_calls.CheckIn(caller_, request));
  EXPECT_TRUE(Damaged().empty()) << "that is another matter";
  status.set_reason("verify_failed");
  ASSERT_OK(app_.device_calls.CheckIn(caller_, request));
  EXPECT_EQ(Damaged().size(), 1u);
  EXPECT_EQ(Get().code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace quantfleet::daemon::app
