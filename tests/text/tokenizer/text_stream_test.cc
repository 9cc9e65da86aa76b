#include "text/tokenizer/text_stream.h"

#include <gtest/gtest.h>

namespace quantfleet::text {
namespace {

TEST(TextStream, HoldsASequenceUntilItIsWhole) {
  TextStream stream({});
  EXPECT_EQ(stream.Append("a\xf0"), "a");
  EXPECT_EQ(stream.Append("\x9f\xa6"), "");
  EXPECT_EQ(stream.Append("\x99!"), "\xf0\x9f\xa6\x99!");
  EXPECT_EQ(stream.Finish(), "");
}

TEST(TextStream, BytesThatAreNoTextAreReplaced) {
  TextStream stream({});
  EXPECT_EQ(stream.Append("\x80z\xc0\xaf"), "\xef\xbf\xbdz\xef\xbf\xbd\xef\xbf\xbd");
  EXPECT_EQ(stream.Append("\xed\xa0\x80"), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");  // a surrogate
  EXPECT_EQ(stream.Append("\xe2\x82"), "");
  EXPECT_EQ(stream.Finish(), "\xef\xbf\xbd");
}

TEST(TextStream, StopsBeforeAStopStringThatComesInPieces) {
  TextStream stream({"", "STOP", "\n\n"});
  EXPECT_EQ(stream.Append("one ST"), "one ");
  EXPECT_EQ(stream.Append("A\n"), "STA");
  EXPECT_EQ(stream.Append("x"), "\nx");
  EXPECT_FALSE(stream.stopped());
  EXPECT_EQ(stream.Append("yST"), "y");
  EXPECT_EQ(stream.Append("OPz"), "");
  EXPECT_TRUE(stream.stopped());
  EXPECT_EQ(stream.Append("more"), "");
  EXPECT_EQ(stream.Finish(), "");
}

TEST(TextStream, WhatWasHeldBackComesAtTheEnd) {
  TextStream stream({"aab"});
  EXPECT_EQ(stream.Append("aaa"), "a");
  EXPECT_EQ(stream.Finish(), "aa");
}

}  // namespace
}  // namespace quantfleet::text
