#include "agent/golden_words.h"

#include <gmock/gmock.h>

#include <fstream>

#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace quantfleet::agent {
namespace {

// Bytes as letters: "\u0120" is a space, "\u00c3\u00a9" the two bytes of an e with an accent.
constexpr char kTokenizer[] = R"({"added_tokens": [{"id": 0, "content": "<s>", "special": true}],
    "decoder": {"type": "ByteLevel"}, "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false},
    "model": {"type": "BPE", "merges": [], "vocab":
        {"<s>": 0, "Once": 1, "\u0120": 2, "time": 3, "\u00c3": 4, "\u00a9": 5, "\u0120there": 6}}})";

v1::GoldenPrompt Golden(std::initializer_list<int32_t> prompt,
                        std::initializer_list<int32_t> answer) {
  v1::GoldenPrompt golden;
  golden.mutable_prompt()->Assign(prompt.begin(), prompt.end());
  golden.mutable_answer()->Assign(answer.begin(), answer.end());
  return golden;
}

class GoldenWordsTest : public ::testing::Test {
 protected:
  void Write(const std::string& text) { std::ofstream(dir_.path() / "tokenizer.json") << text; }
  testing::TempDir dir_;
};

TEST_F(GoldenWordsTest, AreTheFewestTokensThatSayAWordFirstAndInTheMiddle) {
  Write(kTokenizer);
  const auto words = GoldenWordsOf(
      dir_.path(), {Golden({0, 1}, {6, 3}), Golden({1, 2}, {2, 2, 4, 5, 3}), Golden({1}, {}),
                    Golden({1}, {2, 0, 77}), Golden({}, {3}), Golden({-5}, {3})});
  ASSERT_OK(words);
  ASSERT_EQ(words->size(), 4u);
  const auto is = [&](size_t n, std::string_view before, std::string_view word, int64_t tokens) {
    const GoldenWord& one = words->at(n);
    EXPECT_EQ(one.before, before);
    EXPECT_EQ(one.word, word);
    EXPECT_EQ(one.tokens, tokens);
  };
  is(0, "Once", "there", 1);
  is(1, "Once there", "time", 1);
  is(2, "Once ", "\u00e9", 4);
  is(3, "Once   ", "\u00e9", 2);
}

TEST_F(GoldenWordsTest, BeginATextWithoutRegardToSpace) {
  const GoldenWord word{"Once", "there", 1};
  EXPECT_TRUE(Begins(" there was", word));
  EXPECT_TRUE(Begins("there", word));
  EXPECT_FALSE(Begins("the", word));
  EXPECT_FALSE(Begins("", word));
}

TEST_F(GoldenWordsTest, NeedATokenizer) {
  EXPECT_ERROR(GoldenWordsOf(dir_.path(), {Golden({1}, {3})}), kNotFound, "tokenizer.json");
  Write("{}");
  EXPECT_FALSE(GoldenWordsOf(dir_.path(), {Golden({1}, {3})}).ok());
}

}  // namespace
}  // namespace quantfleet::agent
