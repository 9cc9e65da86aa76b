#include "common/base/utf8.h"

#include <gtest/gtest.h>

namespace quantfleet {
namespace {

TEST(Utf8, CharactersAreReadFromBothEnds) {
  const std::string text = "a\xc3\xa9\xe4\xbd\xa0\xf0\x9f\x99\x82";
  EXPECT_EQ(CountCharacters(text), 4u);
  EXPECT_EQ(ByteOfCharacter(text, 2), 3u);
  EXPECT_EQ(ByteOfCharacter(text, 9), text.size());
  EXPECT_EQ(FirstCharacter(text.substr(1)).value, 0xe9u);
  EXPECT_EQ(FirstCharacter(text.substr(3)).value, 0x4f60u);
  EXPECT_EQ(LastCharacter(text).value, 0x1f642u);
  EXPECT_EQ(LastCharacter(text).length, 4u);
}

TEST(Utf8, ABadByteIsNoCharacter) {
  for (const char* text : {"\xff", "\xc3", "\xed\xa0\x80", "\x80"}) {
    EXPECT_EQ(FirstCharacter(text).value, kNoCharacter);
    EXPECT_EQ(FirstCharacter(text).length, 1u);
    EXPECT_EQ(LastCharacter(text).value, kNoCharacter);
  }
}

TEST(Utf8, WhatIsNoCharacterIsNotWritten) {
  std::string out;
  for (const uint32_t value : {0x41u, 0xd800u, 0x110000u, kNoCharacter, 0xe9u, 0x10ffffu})
    AppendCharacter(value, out);
  EXPECT_EQ(out, "A\xc3\xa9\xf4\x8f\xbf\xbf");
}

}  // namespace
}  // namespace quantfleet
