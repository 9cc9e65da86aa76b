// The names of artifacts: one place writes and reads them.
#include "daemon/store/artifact_name.h"

#include <gtest/gtest.h>

namespace quantfleet::daemon {
namespace {

TEST(ArtifactNameTest, TheDigestComesBackFromTheName) {
  const Digest digest = HashText("a manifest");
  const std::string name = ArtifactName(digest.span());
  EXPECT_EQ(name, "artifacts/" + digest.hex());
  EXPECT_EQ(ArtifactNameOfHex(digest.hex()), name);
  const auto read = DigestOfArtifact(name);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(*read, digest);
}

TEST(ArtifactNameTest, PartsOfANameAndOtherNamesAreRefused) {
  const std::string hex = HashText("a manifest").hex();
  for (const std::string& name :
       {hex, "jobs/" + hex, "artifacts/" + hex.substr(1), "artifacts/x" + hex.substr(1),
        std::string("artifacts/"), std::string()})
    EXPECT_EQ(DigestOfArtifact(name).status().code(), absl::StatusCode::kInvalidArgument) << name;
}

}  // namespace
}  // namespace quantfleet::daemon
