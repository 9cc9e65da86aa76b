#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/remote_context.h"
#include "common/base/digest.h"
#include "quantfleet/v1/operator.pb.h"

namespace quantfleet::cli {
namespace {

using ::testing::HasSubstr;

TEST(RemoteJson, DigestsAreHexAndOtherBytesBase64) {
  const Digest digest = HashText("x");
  v1::ArtifactDetail detail;
  detail.mutable_artifact()->set_manifest_digest(digest.raw());
  detail.add_statements()->set_payload("hello");
  v1::Device device;
  device.add_models()->set_active_manifest(digest.raw());
  EXPECT_THAT(JsonText(detail), HasSubstr("\"manifest_digest\": \"" + digest.hex() + "\""));
  EXPECT_THAT(JsonText(detail), HasSubstr("\"payload\": \"aGVsbG8=\""));
  EXPECT_THAT(JsonText(device), HasSubstr("\"active_manifest\": \"" + digest.hex() + "\""));
  EXPECT_THAT(JsonText(device), HasSubstr("\"assigned_manifest\": \"\""));
  v1::Artifact cut;  // what no digest is stays readable
  cut.set_manifest_digest("abc");
  EXPECT_THAT(JsonText(cut), HasSubstr("\"manifest_digest\": \"YWJj\""));
}

}  // namespace
}  // namespace quantfleet::cli
