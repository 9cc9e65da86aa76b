#include "common/base/outside_text.h"

#include <gtest/gtest.h>

#include "common/base/status.h"
#include "common/base/utf8.h"

namespace quantfleet {
namespace {

TEST(Shown, WritesOutWhatSteersOrIsNotText) {
  EXPECT_EQ(Shown("caf\u00e9 \u4e2d"), "caf\u00e9 \u4e2d");
  EXPECT_EQ(Shown("\x1b]0;title\x07"), "\\x1b]0;title\\x07");
  EXPECT_EQ(Shown("a\nb\r\tc\x7f"), "a\\nb\\r\\tc\\x7f");
  EXPECT_EQ(Shown("qwen\xff\xfe"), "qwen\\xff\\xfe");
  EXPECT_EQ(Shown("\xc2\x9b[31m"), "\\u009b[31m");
  EXPECT_EQ(Shown("user\xe2\x80\xaetxt"), "user\\u202etxt");
  EXPECT_EQ(Shown(std::string_view("a\0b", 3)), "a\\x00b");
}

TEST(Shown, CutsBetweenCharactersAndSaysSo) {
  const std::string text = std::string(199, 'a') + "\u00e9" + std::string(300, 'b');
  EXPECT_EQ(Shown(text, 200), std::string(199, 'a') + "... (501 bytes)");
  EXPECT_TRUE(IsUtf8(CutText(text, 200)));
  EXPECT_EQ(CutText(text, 200).size(), 199u);
  EXPECT_EQ(CutText("ab", 200), "ab");
  EXPECT_EQ(CutText("\xf0\x9f\x98\x80", 3), "");
}

TEST(Shown, IsTheSameAgain) {
  for (const std::string_view text : {"\x1b[2J\xff", "a\nb", "plain"}) {
    const std::string once = Shown(text);
    EXPECT_EQ(Shown(once), once);
  }
}

TEST(ShownLines, KeepsLinesAndTabs) { EXPECT_EQ(ShownLines("a\tb\n\x1b[1mc"), "a\tb\n\\x1b[1mc"); }

TEST(ValidText, ChangesOnlyWhatIsNotACharacter) {
  EXPECT_EQ(ValidText("a\n\x1b"), "a\n\x1b");
  EXPECT_EQ(ValidText("a\xc3"), "a\\xc3");
  EXPECT_EQ(ValidText("\xed\xa0\x80"), "\\xed\\xa0\\x80");  // a surrogate
}

TEST(MakeStatus, MessagesAreTextOfOneLineWhateverTheyName) {
  const absl::Status status = InvalidArgument("tensor '{}'", "\x1b[31m\xff\n");
  EXPECT_EQ(Message(status), "tensor '\\x1b[31m\\xff\\n'");
  EXPECT_EQ(Message(Annotate(status, "file \x07")), "file \\x07: tensor '\\x1b[31m\\xff\\n'");
  EXPECT_LT(Message(NotFound("{}", std::string(1 << 20, 'x'))).size(), kMaxMessage + 100);
}

}  // namespace
}  // namespace quantfleet
