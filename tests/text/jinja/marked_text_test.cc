#include "text/jinja/marked_text.h"

#include <gmock/gmock.h>

namespace quantfleet::jinja {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(MarkedText, DataStaysDataThroughJoiningAndCutting) {
  MarkedText text{"<|", {}};
  text.Append(MarkedText::Data("user"));
  text.Append(MarkedText::Data("s"));
  text.Append({"|>", {}});
  text.Append(MarkedText::Data(""));
  EXPECT_EQ(text.bytes, "<|users|>");
  EXPECT_THAT(text.data, ElementsAre(ByteRange{2, 7}));
  EXPECT_THAT(text.Slice(1, 4).data, ElementsAre(ByteRange{1, 3}));
  EXPECT_THAT(text.Slice(7, 9).data, IsEmpty());
}

TEST(MarkedText, StripsAsPythonDoes) {
  const MarkedText text = MarkedText::Data("\xe3\x80\x80\xc2\xa0 \x1fHi\xc3\xa0 \xe2\x80\xaf\n");
  EXPECT_EQ(text.Strip(true, true).bytes, "Hi\xc3\xa0");
  EXPECT_THAT(text.Strip(true, true).data, ElementsAre(ByteRange{0, 4}));
  EXPECT_EQ(text.Strip(false, true).bytes, "\xe3\x80\x80\xc2\xa0 \x1fHi\xc3\xa0");
  // A zero width space is none.
  EXPECT_EQ(MarkedText::Data("\xe2\x80\x8b x").Strip(true, true).bytes, "\xe2\x80\x8b x");
  const std::string_view line_end = "\n", letters = "\xc3\xa9x";
  EXPECT_EQ(MarkedText::Data("\n\n x\n").Strip(true, true, &line_end).bytes, " x");
  // A set of characters, not of bytes: é is stripped, à is not.
  EXPECT_EQ(MarkedText::Data("x\xc3\xa9"
                             "a\xc3\xa0")
                .Strip(true, true, &letters)
                .bytes,
            "a\xc3\xa0");
  EXPECT_EQ(MarkedText::Data(" \n ").Strip(true, true).bytes, "");
  EXPECT_THAT(MarkedText::Data(" \n ").Strip(true, true).data, IsEmpty());
}

}  // namespace
}  // namespace quantfleet::jinja
