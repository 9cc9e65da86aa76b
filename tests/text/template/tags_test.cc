// White space beside tags, as Jinja removes it with trim_blocks and lstrip_blocks.
#include "text/template/tags.h"

#include <gmock/gmock.h>

namespace quantfleet::text {
namespace {

using ::testing::HasSubstr;

// The texts of a template, and its tags as their tokens between brackets.
std::string Shown(std::string_view text) {
  const auto tags = CutIntoTags(text);
  if (!tags.ok()) return "error: " + Message(tags.status());
  std::string shown;
  for (const Tag& tag : *tags) {
    if (tag.kind == Tag::Kind::kText) {
      shown += tag.text;
      continue;
    }
    shown += tag.kind == Tag::Kind::kOutput ? "<" : "[";
    for (const TagToken& token : tag.tokens)
      shown += token.kind == TagToken::Kind::kNumber ? std::to_string(token.number) : token.text;
    shown += tag.kind == Tag::Kind::kOutput ? ">" : "]";
  }
  return shown;
}

TEST(Tags, BlocksTakeTheirLineAndOutputsDoNot) {
  EXPECT_EQ(Shown("a\n  {% if x %}\n  b\n  {% endif %}\nc"), "a\n[ifx]  b\n[endif]c");
  EXPECT_EQ(Shown("a\n  {{ x }}\nb"), "a\n  <x>\nb");
  EXPECT_EQ(Shown("a  {% if x %}  b"), "a  [ifx]  b");
  EXPECT_EQ(Shown("  {# c #}\nb"), "b");
  EXPECT_EQ(Shown("  {%+ x %}\nb"), "  [x]b");
  EXPECT_EQ(Shown("{% x +%}\nb"), "[x]\nb");
  // Only from a line's beginning on.
  EXPECT_EQ(Shown("{% x %}  {% y %}"), "[x]  [y]");
  EXPECT_EQ(Shown("{% x %}\n  {% y %}"), "[x][y]");
}

TEST(Tags, SignsTakeAllSpaceOnTheirSide) {
  EXPECT_EQ(Shown("a \n {{- x -}} \n b"), "a<x>b");
  EXPECT_EQ(Shown("a \n {%- x -%} \n b"), "a[x]b");
  EXPECT_EQ(Shown("a {#- c -#} b"), "ab");
  EXPECT_EQ(Shown(" \n {%- x %}"), "[x]");
}

TEST(Tags, OneLineEndIsLostAtTheEnd) {
  EXPECT_EQ(Shown("a\r\nb\n"), "a\nb");
  EXPECT_EQ(Shown("a\n\n"), "a\n");
}

TEST(Tags, TextsHoldWhatEndsTags) {
  EXPECT_EQ(Shown("{{ '}}%}' }}"), "<}}%}>");
  EXPECT_EQ(Shown("{{ {'a': {}} }}"), "<{a:{}}>");
  const auto tags = CutIntoTags(R"({{ 'a\n\'\\' "b" 12 }})");
  ASSERT_TRUE(tags.ok());
  EXPECT_EQ(tags->at(0).tokens.at(0).text, "a\n'\\");
  EXPECT_EQ(tags->at(0).tokens.at(1).text, "b");
  EXPECT_EQ(tags->at(0).tokens.at(2).number, 12);
}

TEST(Tags, RefusesWhatHasNoEnd) {
  for (const char* bad : {"{{ x", "{% x }}", "{# x", "{{ 'x }}", "{{ x) }}",
                          "{{ 99999999999999999999 }}", "{{ \x01 }}"})
    EXPECT_THAT(Shown(bad), HasSubstr("error: ")) << bad;
}

}  // namespace
}  // namespace quantfleet::text
