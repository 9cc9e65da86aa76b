#include "daemon/web/blob_request.h"

#include <gtest/gtest.h>

#include <string>

namespace quantfleet::daemon {
namespace {

const std::string kHex(64, 'a');

TEST(ParseBlobTarget, TakesExactlyOneForm) {
  const auto name = ParseBlobTarget("/v1/blobs/" + kHex + ".planes2-zstd");
  ASSERT_TRUE(name.has_value());
  EXPECT_EQ(name->digest.hex(), kHex);
  EXPECT_EQ(name->encoding, pipeline::Encoding::kPlanes2Zstd);
  for (const std::string& bad :
       {std::string("/"), std::string("/v1/blobs/"), "/v1/blobs/" + kHex, "/v1/blobs/" + kHex + ".",
        "/v1/blobs/" + kHex + ".gzip", "/v1/blobs/" + kHex + ".raw/",
        "/v1/blobs/" + kHex + ".raw?x", "/v1/blobs/" + kHex.substr(1) + ".raw",
        "/v1/blobs/A" + kHex.substr(1) + ".raw", "/v1/blobs/../" + kHex + ".raw",
        "/v1/blobs/g" + kHex.substr(1) + ".raw"})
    EXPECT_FALSE(ParseBlobTarget(bad).has_value()) << bad;
}

struct RangeCase {
  const char* header;
  ByteRange::Kind kind;
  uint64_t first, length;
};

TEST(ParseRange, OfAHundredBytes) {
  using Kind = ByteRange::Kind;
  const RangeCase cases[] = {
      {"", Kind::kWhole, 0, 0},
      {"bytes=0-", Kind::kPart, 0, 100},
      {"bytes=10-19", Kind::kPart, 10, 10},
      {"bytes= 10-19 ", Kind::kPart, 10, 10},
      {"bytes=99-", Kind::kPart, 99, 1},
      {"bytes=90-500", Kind::kPart, 90, 10},
      {"bytes=90-99999999999999999999999999", Kind::kPart, 90, 10},
      {"bytes=-1", Kind::kPart, 99, 1},
      {"bytes=-500", Kind::kPart, 0, 100},
      {"bytes=100-", Kind::kUnsatisfiable, 0, 0},
      {"bytes=99999999999999999999999999-", Kind::kUnsatisfiable, 0, 0},
      {"bytes=-0", Kind::kUnsatisfiable, 0, 0},
      {"bytes=20-10", Kind::kWhole, 0, 0},
      {"bytes=0-1,3-4", Kind::kWhole, 0, 0},
      {"bytes=a-", Kind::kWhole, 0, 0},
      {"bytes=-", Kind::kWhole, 0, 0},
      {"bytes=+1-2", Kind::kWhole, 0, 0},
      {"items=0-1", Kind::kWhole, 0, 0},
  };
  for (const RangeCase& c : cases) {
    const ByteRange range = ParseRange(c.header, 100);
    EXPECT_EQ(range.kind, c.kind) << c.header;
    EXPECT_EQ(range.first, c.first) << c.header;
    EXPECT_EQ(range.length, c.length) << c.header;
  }
  EXPECT_EQ(ParseRange("bytes=0-", 0).kind, Kind::kUnsatisfiable);
  EXPECT_EQ(ParseRange("bytes=-5", 0).kind, Kind::kUnsatisfiable);
}

TEST(MatchesEtag, ReadsLists) {
  EXPECT_TRUE(MatchesEtag("\"a\"", "\"a\""));
  EXPECT_TRUE(MatchesEtag("\"b\", W/\"a\"", "\"a\""));
  EXPECT_TRUE(MatchesEtag("*", "\"a\""));
  EXPECT_FALSE(MatchesEtag("", "\"a\""));
  EXPECT_FALSE(MatchesEtag("a", "\"a\""));
}

}  // namespace
}  // namespace quantfleet::daemon
