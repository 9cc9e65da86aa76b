#include "cli/allow_list.h"

#include <fstream>

#include "common/trust/certificate.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace quantfleet::cli {
namespace {

TEST(AllowList, TakesIdsDigestsLabelsAndComments) {
  const std::string digest(64, 'a');
  const auto devices =
      ParseAllowList("# the lab\n\nd-0123456789abcdef  site=lab shelf=3 # left\n" + digest + "\n");
  ASSERT_OK(devices);
  ASSERT_EQ(devices->size(), 2u);
  EXPECT_EQ((*devices)[0].device_id(), "d-0123456789abcdef");
  EXPECT_EQ((*devices)[0].labels().at("shelf"), "3");
  EXPECT_EQ((*devices)[0].labels().size(), 2u);
  EXPECT_EQ((*devices)[1].public_key(), std::string(32, '\xaa'));
  EXPECT_TRUE(ParseAllowList("")->empty());
}

TEST(AllowList, ErrorsNameTheLine) {
  EXPECT_ERROR(ParseAllowList("d-0123456789abcdef\nserial-7\n"), kInvalidArgument, "line 2",
               "'serial-7'");
  EXPECT_ERROR(ParseAllowList("d-0123456789abcdef lab\n"), kInvalidArgument, "line 1", "'lab'");
}

TEST(AllowList, KeyFilesArePublicKeysOrCertificates) {
  testing::TempDir dir;
  const trust::KeyPair key = trust::GenerateTlsKey();
  std::ofstream(dir / "key.pem") << key.public_pem;
  const std::string digest = trust::PublicKeyDigest(key.public_pem)->raw();
  EXPECT_EQ(ReadAllowedKey(RealFileSystem(), dir / "key.pem")->public_key(), digest);
  std::ofstream(dir / "rubbish") << "rubbish";
  EXPECT_ERROR(ReadAllowedKey(RealFileSystem(), dir / "rubbish"), kInvalidArgument,
               (dir / "rubbish").string());
}

}  // namespace
}  // namespace quantfleet::cli
