#include "common/base/bytes.h"

#include <gtest/gtest.h>

#include "common/base/random.h"

namespace quantfleet {
namespace {

TEST(Bytes, HexGoesBothWaysAndRefusesForeignCharacters) {
  const Bytes bytes{std::byte{0}, std::byte{0xAB}, std::byte{0xFF}};
  EXPECT_EQ(ToHex(bytes), "00abff");
  EXPECT_EQ(FromHex("00ABff"), bytes);
  EXPECT_EQ(FromHex("0"), std::nullopt);
  EXPECT_EQ(FromHex("0g"), std::nullopt);
  EXPECT_EQ(FromHex(""), Bytes{});
}

TEST(Bytes, Base64UrlFollowsRfc4648) {
  EXPECT_EQ(ToBase64Url(AsBytes("f")), "Zg");
  EXPECT_EQ(ToBase64Url(AsBytes("fo")), "Zm8");
  EXPECT_EQ(ToBase64Url(AsBytes("foobar")), "Zm9vYmFy");
  EXPECT_EQ(ToBase64Url(AsBytes("\xfb\xff")), "-_8");
  EXPECT_EQ(AsText(*FromBase64Url("Zm9vYmFy")), "foobar");
  EXPECT_EQ(FromBase64Url("Zg=="), std::nullopt);
  EXPECT_EQ(FromBase64Url("Z"), std::nullopt);
  EXPECT_EQ(FromBase64Url("Zh"), std::nullopt)
      << "bits past the last byte would give a second text for one value";
}

TEST(Bytes, Base64UrlRoundTripsEveryLength) {
  SeededRandom random(1);
  for (size_t n = 0; n < 70; ++n) {
    Bytes bytes(n);
    random.Fill(bytes);
    EXPECT_EQ(FromBase64Url(ToBase64Url(bytes)), bytes);
  }
}

TEST(Bytes, CheckedArithmeticSeesOverflow) {
  EXPECT_EQ(CheckedAdd(1, 2), 3u);
  EXPECT_EQ(CheckedAdd(~0ull, 1), std::nullopt);
  EXPECT_EQ(CheckedMul(1ull << 32, 1ull << 32), std::nullopt);
  EXPECT_EQ(CheckedMul(1ull << 31, 1ull << 32), 1ull << 63);
}

TEST(Bytes, HumanBytesPicksTheUnit) {
  EXPECT_EQ(HumanBytes(0), "0 B");
  EXPECT_EQ(HumanBytes(1023), "1023 B");
  EXPECT_EQ(HumanBytes(1536), "1.5 KiB");
  EXPECT_EQ(HumanBytes(5ull << 30), "5.0 GiB");
}

}  // namespace
}  // namespace quantfleet
