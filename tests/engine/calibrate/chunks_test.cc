#include "engine/calibrate/chunks.h"

#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace quantfleet::engine {
namespace {

// A token for each byte, behind <unk>, <s> and </s>.
text::TokenizerData Bytewise(bool add_bos) {
  text::TokenizerData data;
  data.kind = text::TokenizerData::Kind::kSpm;
  data.bos = 1, data.eos = 2, data.unknown = 0;
  data.add_bos = add_bos, data.add_space_prefix = false;
  data.tokens = {{"<unk>", 0, text::TokenType::kUnknown},
                 {"<s>", 0, text::TokenType::kControl},
                 {"</s>", 0, text::TokenType::kControl}};
  for (int byte = 0; byte < 256; ++byte)
    data.tokens.push_back({fmt::format("<0x{:02X}>", byte), 0, text::TokenType::kByte});
  return data;
}

absl::StatusOr<std::vector<int32_t>> Cut(std::string_view text, bool add_bos,
                                         const ChunkOptions& options) {
  const text::TokenizerData data = Bytewise(add_bos);
  QF_ASSIGN_OR_RETURN(const auto tokenizer, text::MakeTokenizer(data, "test"));
  return CutIntoChunks(*tokenizer, data, text, options);
}

int32_t Byte(char c) { return 3 + c; }

TEST(CutIntoChunks, EachBeginsWithTheTokenThatBeginsATextInPlaceOfItsFirst) {
  EXPECT_EQ(*Cut("abcdefg", true, {.size = 3, .most = 20}),
            (std::vector<int32_t>{1, Byte('a'), Byte('b'), 1, Byte('d'), Byte('e')}));
  EXPECT_EQ(
      *Cut("abcdefg", false, {.size = 3, .most = 20}),
      (std::vector<int32_t>{Byte('a'), Byte('b'), Byte('c'), Byte('d'), Byte('e'), Byte('f')}));
}

TEST(CutIntoChunks, NoMoreThanAskedFor) {
  EXPECT_EQ(Cut(std::string(100, 'x'), true, {.size = 3, .most = 2})->size(), 6u);
}

TEST(CutIntoChunks, NamesOfTokensAreDataInAText) {
  EXPECT_EQ(*Cut("<s>", false, {.size = 3, .most = 1}),
            (std::vector<int32_t>{Byte('<'), Byte('s'), Byte('>')}));
}

TEST(CutIntoChunks, TextsTooShortSayHowMuchIsMissing) {
  EXPECT_ERROR(Cut("abc", true, {.size = 5, .most = 20}).status(), kInvalidArgument, "has 4 tokens",
               "needs 5", "--chunk");
  EXPECT_ERROR(Cut("", false, {.size = 5, .most = 20}).status(), kInvalidArgument, "has 0 tokens");
}

TEST(CutIntoChunks, OnlyUtf8) {
  EXPECT_ERROR(Cut("ab\xff", true, {.size = 2, .most = 1}).status(), kInvalidArgument, "byte 2");
}

TEST(RemarkOn, OneTokenAgainAndAgainOrFewOfThem) {
  std::vector<int32_t> tokens(1000);
  for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<int32_t>(i % 200);
  EXPECT_EQ(RemarkOn(tokens, 30000), "");
  for (size_t i = 0; i < 501; ++i) tokens[i] = 7;
  EXPECT_NE(RemarkOn(tokens, 30000), "") << "one token";
  for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<int32_t>(i % 14);
  EXPECT_NE(RemarkOn(tokens, 30000), "") << "few";
  EXPECT_EQ(RemarkOn(tokens, 20), "") << "of a vocabulary that has no more";
}

TEST(RemarkOn, ALanguageThatTheTokenizerSpellsInBytes) {
  std::string text;
  for (int i = 0; i < 4000; ++i) {
    const int letter = 0x4e00 + i * 37 % 2000;
    text += {static_cast<char>(0xe0 | letter >> 12), static_cast<char>(0x80 | (letter >> 6 & 63)),
             static_cast<char>(0x80 | (letter & 63))};
  }
  const auto tokens = Cut(text, false, {.size = 512, .most = 20});
  ASSERT_OK(tokens);
  EXPECT_NE(RemarkOn(*tokens, 30000), "");
}

}  // namespace
}  // namespace quantfleet::engine
